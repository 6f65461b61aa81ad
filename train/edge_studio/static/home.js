// The list of projects: creates one and opens it.
import { send, attempt, segment } from "./studio.js";

document.getElementById("create").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = new FormData(event.target).get("name");
  attempt(async () => {
    const made = await send("/api/projects", { name });
    location.assign(`/p/${segment(made.project)}/photos`);
  });
});
