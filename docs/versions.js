// Which version of the documentation this is, and a way to the others. PUBLISHED (published.js) has the pages of each version
// by its name, the newest first; it is empty where a site stands alone.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const here = DOCUMENTATION_OPTIONS.VERSION;
  const root = document.documentElement.dataset.content_root;
  const brand = document.querySelector(".sidebar-brand");
  if (!brand || Object.keys(PUBLISHED).length < 2) return;
  const label = document.createElement("label");
  label.className = "versions";
  label.append("Version ");
  const select = label.appendChild(document.createElement("select"));
  for (const version of Object.keys(PUBLISHED)) select.add(new Option(version, version, false, version === here));
  select.addEventListener("change", () => {
    const site = new URL(root || "./", location.href);
    const page = decodeURI(location.href.split(/[?#]/)[0]).slice(decodeURI(site.href).length) || "index.html";
    const there = PUBLISHED[select.value].includes(page) ? page : "index.html";
    location.href = new URL(`../${encodeURIComponent(select.value)}/${encodeURI(there)}`, site);
  });
  brand.after(label);
});
