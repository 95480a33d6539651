"""From a request and its adapters to a complete specification, within the limits of its base model."""

from __future__ import annotations

from collections.abc import Callable

from tasks.base_models.registry import Limits, ServedModel
from tasks.errors import InvalidRequest
from tasks.fields import ImageFormat
from tasks.jobs.job import JobSpec, ScaledAdapter
from tasks.requests.job import MAX_SEED, AdapterRequest, JobRequest


def complete(
    request: JobRequest,
    model: ServedModel,
    adapters: tuple[ScaledAdapter, ...],
    random_seed: Callable[[int], int],
    image_format: ImageFormat,
) -> JobSpec:
    """Fill what the request leaves out from the defaults, and check the whole against the base model's limits.

    Raises:
        InvalidRequest: a value is outside what the base model can draw; the error names the field.
    """
    spec = JobSpec(
        base_model=model.slug,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        adapters=adapters,
        width=request.width or model.defaults.width,
        height=request.height or model.defaults.height,
        steps=request.steps or model.defaults.steps,
        guidance_scale=model.defaults.guidance_scale if request.guidance_scale is None else request.guidance_scale,
        scheduler=request.scheduler,
        clip_skip=request.clip_skip or None,
        seed=random_seed(MAX_SEED - request.images) if request.seed is None else request.seed,
        image_count=request.images,
        image_format=request.image_format or image_format,
    )
    check_limits(spec, model)
    return spec


def check_limits(spec: JobSpec, model: ServedModel) -> None:
    """Check a specification against what its base model can draw.

    Raises:
        InvalidRequest: a value is outside of it; the error names the field.
    """
    check_side("width", spec.width, model.limits)
    check_side("height", spec.height, model.limits)
    if spec.steps > model.limits.max_steps:
        raise InvalidRequest(f"{model.slug} draws in at most {model.limits.max_steps} steps.", field="steps")
    if len(spec.adapters) > model.limits.max_adapters:
        raise InvalidRequest(f"{model.slug} takes at most {model.limits.max_adapters} adapters.", field="adapters")
    if spec.scheduler and spec.scheduler not in model.schedulers:
        offered = ", ".join(model.schedulers) or "none but its own; leave the field out"
        raise InvalidRequest(f"{model.slug} has no scheduler {spec.scheduler}; it offers {offered}.", field="scheduler")
    if (spec.clip_skip or 0) > model.limits.max_clip_skip:
        raise InvalidRequest(clip_skip_refusal(model), field="clip_skip")


def clip_skip_refusal(model: ServedModel) -> str:
    """Return the sentence about a base model that skips fewer layers than a request asks for."""
    if model.limits.max_clip_skip:
        return f"clip_skip is at most {model.limits.max_clip_skip} for {model.slug}."
    return f"{model.slug} takes no clip_skip. Leave the field out, or name another base model."


def scale_of(requested: AdapterRequest, default: float) -> float:
    """Return how strongly an adapter is merged."""
    return default if requested.scale is None else requested.scale


def check_side(field: str, pixels: int, limits: Limits) -> None:
    """Check a width or a height.

    Raises:
        InvalidRequest: the base model cannot draw this size.
    """
    if not limits.min_side <= pixels <= limits.max_side or pixels % limits.multiple_of:
        raise InvalidRequest(
            f"{field} must be from {limits.min_side} to {limits.max_side} and a multiple of {limits.multiple_of}; "
            f"it is {pixels}.",
            field=field,
        )
