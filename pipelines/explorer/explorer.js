// What pages do beyond being read: keys, a threshold that is moved by hand, drawings as PNG, a lasso on the map.
// Nothing here reads text of documents, and nothing is put into a page but what the server escaped.
"use strict";

const root = document.querySelector("base").href;

// ---- keys

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const tab = document.querySelector(`nav a[data-key="${CSS.escape(event.key)}"]`);
  if (tab) { tab.click(); return; }
  if (event.key === "/") {
    const search = document.querySelector(".search, main input, main select");
    if (search) { event.preventDefault(); search.focus(); }
  } else if (event.key === "j" || event.key === "k") {
    const rows = [...document.querySelectorAll("a.item, main svg a, .row a")];
    const at = rows.indexOf(document.activeElement);
    const next = rows[event.key === "j" ? at + 1 : Math.max(0, at - 1)];
    if (next) { event.preventDefault(); next.focus(); next.scrollIntoView({ block: "nearest" }); }
  }
});

// ---- a part of a page that follows a form

for (const form of document.querySelectorAll("form[data-part]")) {
  const [range, number] = [form.querySelector("[type=range]"), form.querySelector("[type=number]")];
  const target = document.getElementById(form.dataset.part);
  let asked = 0, timer = 0;
  const show = async () => {
    const params = new URLSearchParams(new FormData(form));
    params.delete("t");
    params.set("t", number.value);
    const mine = ++asked;
    history.replaceState(null, "", `${form.getAttribute("action")}?${params}`);
    params.set("part", form.dataset.part);
    const answer = await fetch(`${root}${form.getAttribute("action")}?${params}`);
    const told = await answer.text();
    if (mine === asked) { target.innerHTML = told; drawings(target); }
  };
  const later = () => { clearTimeout(timer); timer = setTimeout(show, 120); };
  range.addEventListener("input", () => { number.value = range.value; later(); });
  number.addEventListener("input", () => { range.value = number.value; later(); });
  form.addEventListener("submit", (event) => { event.preventDefault(); show(); });
}

// ---- drawings as PNG

function drawings(within) {
  for (const button of within.querySelectorAll("button.png")) {
    button.addEventListener("click", async () => {
      const link = button.parentElement.querySelector("a");
      const text = await (await fetch(link.href)).text();
      const picture = new Image();
      picture.src = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
      await picture.decode();
      const [width, height] = /viewBox="0 0 ([\d.]+) ([\d.]+)"/.exec(text).slice(1).map(Number);
      const canvas = Object.assign(document.createElement("canvas"), { width: 2 * width, height: 2 * height });
      const brush = canvas.getContext("2d");
      brush.fillStyle = getComputedStyle(document.body).backgroundColor;
      brush.fillRect(0, 0, canvas.width, canvas.height);
      brush.drawImage(picture, 0, 0, canvas.width, canvas.height);
      const file = Object.assign(document.createElement("a"), { download: `${button.dataset.name}.png`, href: canvas.toDataURL("image/png") });
      file.click();
    });
  }
}
drawings(document);

// ---- the lasso

// the points of a line but those that lie less than `least` away from it without them
function straightened(line, least) {
  const [a, b] = [line[0], line[line.length - 1]];
  const length = Math.hypot(b[0] - a[0], b[1] - a[1]);
  let far = 0, at = 0;
  line.forEach(([x, y], place) => {
    const away = length ? Math.abs((b[0] - a[0]) * (a[1] - y) - (a[0] - x) * (b[1] - a[1])) / length
      : Math.hypot(x - a[0], y - a[1]);
    if (away > far) [far, at] = [away, place];
  });
  if (far < least) return line.length > 1 ? [a, b] : [a];
  return [...straightened(line.slice(0, at + 1), least), ...straightened(line.slice(at), least).slice(1)];
}

const map = document.getElementById("map");
const plot = map && map.querySelector("svg .plot");
if (plot) {
  const svg = plot.ownerSVGElement;
  const box = plot.getBBox();
  const [x0, x1, y0, y1] = map.dataset.bounds.split(" ").map(Number);
  let line = null, points = [];
  const at = (event) => {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    return [point.x, point.y];
  };
  svg.addEventListener("pointerdown", (event) => {
    if (event.target.closest("a")) return;
    points = [at(event)];
    line = document.createElementNS("http://www.w3.org/2000/svg", "polygon");
    line.setAttribute("class", "lasso");
    svg.append(line);
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointermove", (event) => {
    if (!line) return;
    const [x, y] = at(event), [a, b] = points[points.length - 1];
    if (Math.hypot(x - a, y - b) < 6) return;
    points.push([x, y]);
    line.setAttribute("points", points.map((one) => one.join(",")).join(" "));
  });
  svg.addEventListener("pointerup", () => {
    if (!line) return;
    line = null;
    if (points.length < 4) return;
    let least = 1;
    while (straightened(points, least).length > 50) least *= 1.5;
    const told = straightened(points, least).map(([x, y]) => [
      x0 + ((x - box.x) / box.width) * (x1 - x0),
      y1 - ((y - box.y) / box.height) * (y1 - y0),
    ].map((value) => value.toPrecision(5)).join(","));
    if (told.length < 3) return;
    const here = map.dataset.here;
    location.href = `${root}${here}${here.includes("?") ? "&" : "?"}${new URLSearchParams({ lasso: told.join(" ") })}`;
  });
}
