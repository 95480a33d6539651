const form = document.querySelector("form"), status = document.querySelector("[role=status]");
const button = form.querySelector("button"), figure = document.querySelector("figure");

function authorization() {
  const key = sessionStorage.getItem("key");
  return key ? { Authorization: `Bearer ${key}` } : {};
}

async function call(path, options) {
  const response = await fetch(path, { ...options, headers: { ...options?.headers, ...authorization() } });
  if (response.status === 401) {
    const key = prompt("API key");
    if (key) {
      sessionStorage.setItem("key", key);
      offer();
      return call(path, options);
    }
  }
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail);
  return answer;
}

// The adapters that this key may use; without a key, where one is needed, there are none to show.
async function offer() {
  const response = await fetch("v1/adapters?limit=500", { headers: authorization() });
  if (!response.ok) return;
  const { adapters, left_out: leftOut } = await response.json();
  form.adapter.replaceChildren(
    new Option("none", ""), ...adapters.map(adapter => new Option(label(adapter), adapter.name)), ...leftOut.map(unusable));
}

function unusable({ file, reason }) {
  const option = new Option(`${file}: ${reason}`);
  option.disabled = true;
  return option;
}

function label({ title, description, trigger_words: words }) {
  return title + (description ? `: ${description}` : "") + (words.length ? ` (say ${words.join(", ")})` : "");
}

function tell(job) {
  const waiting = job.position === 0 ? "next in the queue" : `${job.position} jobs before it in the queue`;
  const drawing = job.progress ? `step ${job.progress.step} of ${job.progress.of}` : "preparing";
  status.textContent = { queued: waiting, running: drawing }[job.status] ?? job.status;
}

function show(job) {
  if (job.status !== "succeeded") throw new Error(job.error?.message ?? job.status);
  const [image] = job.images;
  if (image.flagged) throw new Error("The safety checker withheld this image.");
  figure.querySelector("img").src = image.url;
  figure.querySelector("img").alt = job.prompt;
  figure.querySelector("figcaption").textContent = `${job.prompt} (seed ${job.seed})`;
  figure.hidden = false;
  status.textContent = `drawn in ${job.timings.draw} s`;
}

async function draw(prompt, adapter) {
  const body = JSON.stringify({ prompt, adapters: adapter ? [{ ref: adapter }] : [] });
  let job = await call("v1/jobs", { method: "POST", headers: { "Content-Type": "application/json" }, body });
  while (job.status === "queued" || job.status === "running") {
    tell(job);
    await new Promise(resume => setTimeout(resume, 250));
    job = await call(`v1/jobs/${job.id}?wait=1`);
  }
  show(job);
}

form.addEventListener("submit", async event => {
  event.preventDefault();
  button.disabled = figure.hidden = true;
  try { await draw(form.prompt.value, form.adapter.value); }
  catch (error) { status.textContent = error.message; }
  finally { button.disabled = false; }
});

offer();
