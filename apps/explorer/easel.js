// A picture with a wipe to another one, on which one can paint cells of a layer's grid.
// What Python sends is drawn or set as text, never parsed as HTML.

export default function ({ parentElement: root, data, setStateValue, setTriggerValue }) {
  if (root.easel?.canvas !== root.querySelector("canvas")) root.easel = makeEasel(root);
  root.easel.send = (stroke) => setStateValue("stroke", stroke);
  root.easel.tell = (stroke) => setTriggerValue("drawn", stroke);
  root.easel.update(data);
}

function makeEasel(root) {
  const find = (what) => root.querySelector(what);
  const canvas = find("canvas"), pen = canvas.getContext("2d"), kept = find("img.after");
  const size = find(".brush input"), wipe = find(".wipe input");
  const pictures = { before: null, after: null };
  let data = null, cells = new Set(), waiting = null, last = null, hover = null, original = false, strokes = 0;

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
    const edge = original ? 0 : (canvas.width * wipe.value) / 100; // after to the left of it, before to the right
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
    const fill = (chosen, alpha) => {
      pen.globalAlpha = alpha;
      pen.fillStyle = data.brush.color;
      for (const cell of chosen) pen.fillRect((cell % columns) * wide, Math.floor(cell / columns) * high, wide, high);
      pen.globalAlpha = 1;
    };
    fill(cells, 0.6);
    if (hover && !cells.size) fill(around(hover), 0.4);
    if (hover && columns <= 32) {
      pen.fillStyle = "#fff2";
      for (let x = 1; x < columns; x++) pen.fillRect(Math.round(x * wide), 0, 1, canvas.height);
      for (let y = 1; y < rows; y++) pen.fillRect(0, Math.round(y * high), canvas.width, 1);
    }
  }

  // The cells whose middle is within the brush, and always the one below the pointer.
  function around([x, y]) {
    const [rows, columns] = data.brush.grid, reach = size.value / 2, found = [];
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++)
        if (
          Math.hypot(column + 0.5 - x, row + 0.5 - y) <= reach ||
          (column === Math.floor(x) && row === Math.floor(y))
        ) found.push(row * columns + column);
    return found;
  }

  function place(event) {
    const box = canvas.getBoundingClientRect(), [rows, columns] = data.brush.grid;
    return [((event.clientX - box.left) / box.width) * columns, ((event.clientY - box.top) / box.height) * rows];
  }

  function paint(event) {
    for (const each of event.getCoalescedEvents?.().length ? event.getCoalescedEvents() : [event]) {
      const now = place(each), from = last ?? now;
      const steps = Math.max(1, Math.ceil(2 * Math.hypot(now[0] - from[0], now[1] - from[1])));
      for (let step = 1; step <= steps; step++) {
        const share = step / steps;
        around([from[0] + (now[0] - from[0]) * share, from[1] + (now[1] - from[1]) * share]).forEach((cell) => cells.add(cell));
      }
      last = now;
    }
    draw();
  }

  const ready = () => data?.brush && waiting === null;
  canvas.addEventListener("pointerdown", (event) => {
    if (!ready() || event.button > 0) return;
    canvas.setPointerCapture(event.pointerId);
    cells = new Set();
    last = null;
    wipe.value = 100;
    paint(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!data?.brush) return;
    hover = place(event);
    if (last) paint(event);
    else draw();
  });
  canvas.addEventListener("pointerup", () => {
    if (!last) return;
    last = null;
    waiting = `${Date.now()}-${strokes++}`;
    canvas.dataset.released = performance.now();
    root.easel.send({ id: waiting, cells: [...cells].sort((a, b) => a - b) });
  });
  canvas.addEventListener("pointercancel", () => {
    last = null;
    cells = new Set();
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
  wipe.addEventListener("input", draw);
  size.addEventListener("input", label);

  function label() {
    find("output").textContent = size.value;
  }

  async function load(url) {
    const picture = new Image();
    picture.src = url;
    await picture.decode();
    return picture;
  }

  new ResizeObserver(() => data && fit()).observe(canvas);

  async function update(sent) {
    const first = data === null, grid = sent.brush?.grid.join();
    if (grid && grid !== data?.brush?.grid.join()) {
      const longest = Math.max(...sent.brush.grid);
      size.max = Math.max(2, Math.ceil(longest / 2));
      size.value = Math.max(1, Math.round(longest / 6));
      label();
    }
    data = sent;
    canvas.className = data.brush ? "paints" : "";
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", data.alt);
    find(".brush").hidden = !data.brush;
    find(".wipe").hidden = data.before === data.after;
    if (data.before === data.after) wipe.value = 100;
    const [before, after] = await Promise.all([load(data.before), load(data.after)]);
    if (data !== sent) return; // something newer has come meanwhile
    Object.assign(pictures, { before, after });
    kept.src = data.after;
    kept.alt = data.alt;
    const answered = waiting !== null && data.seen === waiting;
    if (waiting === null || answered) {
      waiting = null;
      if (!last) cells = new Set();
    }
    fit();
    canvas.dataset.shown = performance.now();
    if (answered) root.easel.tell(data.seen);
    if (first) label();
  }

  return { canvas, update, send: null, tell: null };
}
