// Makes the site work without a network. A build is taken whole: every file is held against its digest, and only when all
// of them are there does this build replace the one before. Whoever has a page open keeps the build that it began with.
"use strict";

const BUILD = "$build";
/** @type {Record<string, string>} SHA-256 of each file by its address, relative to this script. */
const FILES = $files;

const NAME = `edge-mobilenet ${self.registration.scope} `;
const address = (path) => new URL(path, self.registration.scope).href;

async function sha256(buffer) {
  const digest = await crypto.subtle.digest("SHA-256", buffer);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Files whose folder is named after the build may come from the browser's own cache, where the page has just left them.
async function fetchChecked(path, expected) {
  for (const cache of path.includes("/") && !path.startsWith("./") ? ["force-cache", "reload"] : ["reload"]) {
    const answer = await fetch(address(path), { cache });
    const body = answer.ok ? await answer.arrayBuffer() : null;
    if (body && await sha256(body) === expected) return new Response(body, { headers: kept(answer.headers) });
  }
  throw new Error(`${path} is not of build ${BUILD}`);
}

// What the body was before it was decoded (its coding and length) no longer holds.
function kept(headers) {
  const names = ["content-type", "content-security-policy", "permissions-policy", "x-content-type-options", "referrer-policy"];
  return Object.fromEntries(names.filter((name) => headers.has(name)).map((name) => [name, headers.get(name)]));
}

async function install() {
  const cache = await caches.open(NAME + BUILD);
  try {
    await Promise.all(Object.entries(FILES).map(async ([path, digest]) => cache.put(address(path), await fetchChecked(path, digest))));
  } catch (error) {
    await caches.delete(NAME + BUILD);
    throw error;
  }
}

async function activate() {
  const old = (await caches.keys()).filter((name) => name.startsWith(NAME) && name !== NAME + BUILD);
  await Promise.all(old.map((name) => caches.delete(name)));
  await self.clients.claim();
}

async function respond(request) {
  const { origin, pathname } = new URL(request.url);
  const page = request.mode === "navigate" && new URL("./", self.registration.scope).pathname === pathname.replace(/index\.html$/, "");
  const cache = await caches.open(NAME + BUILD);
  return await cache.match(page ? address("./") : origin + pathname) ?? fetch(request);
}

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(activate()));
self.addEventListener("message", (event) => { if (event.data === "take over") self.skipWaiting(); });
self.addEventListener("fetch", (event) => { if (event.request.method === "GET") event.respondWith(respond(event.request)); });
