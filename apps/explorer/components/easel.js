// A picture with a wipe to another one, on which the visitor paints cells of a layer's grid.
// Data from Python is drawn or set as text, never parsed as HTML.

export default function ({ parentElement: root, data, setStateValue, setTriggerValue }) {
  if (root.easel?.canvas !== root.querySelector("canvas")) root.easel = makeEasel(root);
  root.easel.send = (strokes) => setStateValue("strokes", strokes);
  root.easel.notify = (stroke) => setTriggerValue("drawn", stroke);
  root.easel.update(data);
}

const REST = 350; // pause in milliseconds after which the rest of the page is requested

function makeEasel(root) {
  const find = (what) => root.querySelector(what);
  const canvas = find("canvas"), pen = canvas.getContext("2d"), copy = find("img.after");
  const size = find(".brush input"), wipe = find(".wipe input");
  const pictures = {};
  let data = null, stroke = null, sent = [], hover = null, original = false, strokes = 0, timer = null;
  let touched = false; // whether the brush's controls were used since this brush arrived: a new brush may be on its way

  function fit() {
    const [rows, columns] = data.size;
    const width = Math.round(canvas.clientWidth * (window.devicePixelRatio || 1)) || columns;
    canvas.style.aspectRatio = `${columns} / ${rows}`;
    canvas.width = width;
    canvas.height = Math.round((width * rows) / columns);
    draw();
  }

  function draw() {
    pen.imageSmoothingEnabled = !data.labels;
    pen.imageSmoothingQuality = "high";
    const edge = original ? 0 : (canvas.width * wipe.value) / 100; // "after" is left of it, "before" right
    if (pictures.after) pen.drawImage(pictures.after, 0, 0, canvas.width, canvas.height);
    if (pictures.before && edge < canvas.width) {
      pen.save();
      pen.beginPath();
      pen.rect(edge, 0, canvas.width - edge, canvas.height);
      pen.clip();
      pen.drawImage(pictures.before, 0, 0, canvas.width, canvas.height);
      pen.restore();
      if (edge > 0) {
        pen.fillStyle = "#fffc";
        pen.fillRect(edge - 1, 0, 2, canvas.height);
      }
    }
    if (data.brush) drawCells();
  }

  function drawCells() {
    const [rows, columns] = data.brush.grid;
    const wide = canvas.width / columns, high = canvas.height / rows;
    const fill = (chosen, alpha, color = data.brush.color) => {
      pen.globalAlpha = alpha;
      pen.fillStyle = color;
      for (const cell of chosen) pen.fillRect((cell % columns) * wide, Math.floor(cell / columns) * high, wide, high);
      pen.globalAlpha = 1;
    };
    for (const { cells, color } of sent) fill(cells, 0.6, color);
    if (stroke) fill(stroke.cells, 0.6);
    else if (hover) fill(around(hover), 0.4);
    if (hover && columns <= 32) {
      pen.fillStyle = "#fff2";
      for (let x = 1; x < columns; x++) pen.fillRect(Math.round(x * wide), 0, 1, canvas.height);
      for (let y = 1; y < rows; y++) pen.fillRect(0, Math.round(y * high), canvas.width, 1);
    }
  }

  // The cells whose center is within the brush, and always the one below the pointer.
  function around([x, y]) {
    const [rows, columns] = data.brush.grid, reach = size.value / 2, cells = [];
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++)
        if (
          Math.hypot(column + 0.5 - x, row + 0.5 - y) <= reach ||
          (column === Math.floor(x) && row === Math.floor(y))
        ) cells.push(row * columns + column);
    return cells;
  }

  function place(event) {
    const box = canvas.getBoundingClientRect(), [rows, columns] = data.brush.grid;
    return [((event.clientX - box.left) / box.width) * columns, ((event.clientY - box.top) / box.height) * rows];
  }

  function paint(event) {
    for (const part of event.getCoalescedEvents?.().length ? event.getCoalescedEvents() : [event]) {
      const now = place(part), from = stroke.last ?? now;
      const steps = Math.max(1, Math.ceil(2 * Math.hypot(now[0] - from[0], now[1] - from[1])));
      for (let step = 1; step <= steps; step++) {
        const share = step / steps;
        around([from[0] + (now[0] - from[0]) * share, from[1] + (now[1] - from[1]) * share]).forEach((cell) => stroke.cells.add(cell));
      }
      stroke.last = now;
    }
    draw();
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (!data?.brush || event.button > 0 || stroke) return; // a second finger does not paint
    clearTimeout(timer);
    canvas.setPointerCapture(event.pointerId);
    stroke = { pointer: event.pointerId, scope: data.scope, color: data.brush.color, unsure: touched, cells: new Set() };
    wipe.value = 100;
    paint(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!data?.brush || (stroke && stroke.pointer !== event.pointerId)) return;
    hover = place(event);
    if (stroke) paint(event);
    else draw();
  });
  canvas.addEventListener("pointerup", (event) => {
    if (stroke?.pointer !== event.pointerId) return;
    const { scope, color, unsure, cells } = stroke, id = `${Date.now()}-${strokes++}`;
    stroke = null;
    sent.push({ id, scope, color, unsure, cells: [...cells].sort((a, b) => a - b) });
    canvas.dataset.sent = id;
    canvas.dataset.released = performance.now();
    root.easel.send(sent.map(({ color, ...message }) => message)); // including those that may not have arrived
  });
  for (const lost of ["pointercancel", "lostpointercapture"])
    canvas.addEventListener(lost, (event) => {
      if (stroke?.pointer !== event.pointerId) return; // already released, or another finger
      stroke = null;
      requestRest();
      draw();
    });
  canvas.addEventListener("pointerleave", () => {
    hover = null;
    if (data) draw();
  });
  canvas.addEventListener("keydown", (event) => {
    const step = { "[": -1, "]": 1 }[event.key];
    if (step) size.value = Number(size.value) + step;
    if (event.key === " ") original = true;
    if (step || event.key === " ") event.preventDefault();
    label();
    draw();
  });
  canvas.addEventListener("keyup", (event) => {
    if (event.key === " ") original = false;
    draw();
  });
  canvas.addEventListener("blur", () => {
    original = false; // the key may be released elsewhere
    draw();
  });
  wipe.addEventListener("input", draw);
  size.addEventListener("input", label);

  function label() {
    find("output").textContent = size.value;
  }

  async function load(which, url) {
    if (pictures[which]?.src === url) return pictures[which];
    const picture = new Image();
    picture.src = url;
    await picture.decode();
    return picture;
  }

  // Redrawing the rest of the page is slow, and would delay the next stroke.
  function requestRest() {
    clearTimeout(timer);
    if (canvas.dataset.answered && !sent.length && !stroke)
      timer = setTimeout(() => root.easel.notify(canvas.dataset.answered), REST);
  }

  new ResizeObserver(() => data && fit()).observe(canvas);

  async function update(next) {
    const first = data === null, grid = next.brush?.grid.join();
    if (grid && grid !== data?.brush?.grid.join()) {
      const longest = Math.max(...next.brush.grid);
      size.max = Math.max(2, Math.ceil(longest / 2));
      size.value = Math.max(1, Math.round(longest / 6));
      label();
    }
    if (next.brush?.id !== data?.brush?.id) touched = false;
    const tools = next.brush && document.querySelector(next.brush.tools);
    if (tools) tools.onpointerdown = tools.onkeydown = tools.onclick = () => (touched = true);
    if (stroke && stroke.scope !== next.scope) stroke = null; // started on another picture
    data = next;
    canvas.className = data.brush ? "paints" : "";
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", data.alt);
    find(".brush").hidden = !data.brush;
    find(".wipe").hidden = data.before === data.after;
    if (data.before === data.after) wipe.value = 100;
    const [before, after] = await Promise.all([load("before", data.before), load("after", data.after)]);
    if (data !== next) return; // newer data has arrived meanwhile
    Object.assign(pictures, { before, after });
    copy.src = data.after;
    copy.alt = data.alt;
    const waited = sent.length;
    sent = sent.slice(1 + sent.findIndex((entry) => entry.id === data.accepted)); // drop strokes that the picture includes
    sent = sent.filter((entry) => entry.scope === data.scope);
    fit();
    canvas.dataset.shown = performance.now();
    if (sent.length < waited) {
      canvas.dataset.answered = data.accepted;
      requestRest();
    }
    if (first) label();
  }

  return { canvas, update, send: null, notify: null };
}
