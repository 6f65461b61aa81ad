// The training page: one button, choices behind a fold, and the jobs.
import { api, attempt, project, segment, send, tell } from "./studio.js";
import { fillForm, formValues } from "./forms.js";
import { showJobs } from "./jobs.js";

const jobs = showJobs(["train", "curve"], (job) => {
  if (job.state === "done" && job.kind === "train") tell(`${job.title}: done.`, { action: { title: "Export it", run: () => location.assign(`/p/${segment(project)}/export`) } });
  if (job.state === "failed") tell(`${job.title}: ${job.message}`, { bad: true });
});

const form = document.getElementById("train");
const remembered = `train ${project}`;
const last = localStorage.getItem(remembered);
if (last && last !== JSON.stringify(formValues(form))) {
  fillForm(form, JSON.parse(last));
  form.querySelector("details").open = true; // what differs from the defaults is seen
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    const values = formValues(form);
    const { job } = await send(api("train"), values);
    localStorage.setItem(remembered, JSON.stringify(values));
    (await jobs).show(job);
    document.querySelector(`[data-job="${job.id}"]`)?.scrollIntoView({ block: "nearest" });
  });
});
