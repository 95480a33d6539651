"""Everything that touches torch and diffusers: the warm pipeline, the swap, and the stages of a job."""
