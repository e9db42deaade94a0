// Segments in three dimensions with WebGL2 alone: lines of constant width on the screen, drawn as instances.
// scene: {count, positions, modes, frame, places, high, low}; arrays come as base64 of float32 or int32.
function segments3d(root, scene) {
  const host = (() => { try { return window.parent.document ? window.parent : window; } catch { return window; } })();
  const unpack = (text, Kind) => {
    const raw = atob(text), bytes = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
    return new Kind(bytes.buffer);
  };
  const ends = unpack(scene.positions, Float32Array);
  const modes = scene.modes.map(mode => ({...mode, values: unpack(mode.values, Float32Array)}));
  const places = scene.places.map(place => ({
    ...place, group: unpack(place.group, Int32Array),
    x: unpack(place.x, Float32Array), y: unpack(place.y, Float32Array)}));
  const find = name => root.querySelector("." + name);
  const canvas = find("s3-gl"), overlay = find("s3-over"), pen = overlay.getContext("2d");
  const menu = find("s3-mode"), legend = find("s3-legend"), tip = find("s3-tip");
  const gl = canvas.getContext("webgl2", {antialias: true, preserveDrawingBuffer: true});
  if (!gl) { find("s3-none").style.display = "block"; return; }

  const program = link(gl, `#version 300 es
    layout(location=0) in vec3 a; layout(location=1) in vec3 b; layout(location=2) in vec4 color;
    uniform mat4 view; uniform vec2 size; uniform float width; out vec4 paint;
    void main() {
      int k = gl_VertexID; float side = (k & 1) == 0 ? -1.0 : 1.0;
      vec4 p = view * vec4(a, 1.0), q = view * vec4(b, 1.0);
      float near = 1e-3;                                 // an end behind the eye is cut at the near plane
      if (p.w < near && q.w > near) p = mix(p, q, (near - p.w) / (q.w - p.w));
      if (q.w < near && p.w > near) q = mix(q, p, (near - q.w) / (p.w - q.w));
      vec2 along = (q.xy / q.w - p.xy / p.w) * size;
      along = dot(along, along) > 1e-8 ? normalize(along) : vec2(1.0, 0.0);
      vec4 at = k < 2 ? p : q; float cap = k < 2 ? -0.5 : 0.5;
      vec2 offset = (vec2(-along.y, along.x) * side * 0.5 + along * cap) * width * 2.0 / size;
      gl_Position = vec4(at.xy + offset * at.w, at.z, at.w); paint = color;
    }`, `#version 300 es
    precision mediump float; in vec4 paint; out vec4 color; void main() { color = paint; }`);
  const at = name => gl.getUniformLocation(program, name);
  const uniform = {view: at("view"), size: at("size"), width: at("width")};
  const segments = lines(ends, new Uint8Array(scene.count * 4));
  const marked = lines(new Float32Array(0), new Uint8Array(0));
  const frames = lines(unpack(scene.frame, Float32Array), new Uint8Array(0));

  const camera = host.__dptoolkit_camera ??= {yaw: -0.9, pitch: 0.35, zoom: 1, shift: [0, 0], whole: false};
  let matrix, mode = 0, chosen = [], hover = -1, wanted = false, range = [0, 1];

  function lines(points, colors) {
    const set = {array: gl.createVertexArray(), points: gl.createBuffer(), colors: gl.createBuffer(), count: 0};
    gl.bindVertexArray(set.array);
    gl.bindBuffer(gl.ARRAY_BUFFER, set.points);
    for (const slot of [0, 1]) {
      gl.enableVertexAttribArray(slot);
      gl.vertexAttribPointer(slot, 3, gl.FLOAT, false, 24, 12 * slot);
      gl.vertexAttribDivisor(slot, 1);
    }
    gl.bindBuffer(gl.ARRAY_BUFFER, set.colors);
    gl.enableVertexAttribArray(2);
    gl.vertexAttribPointer(2, 4, gl.UNSIGNED_BYTE, true, 0, 0);
    gl.vertexAttribDivisor(2, 1);
    fill(set, points, colors);
    return set;
  }
  function fill(set, points, colors) {
    if (points) {
      gl.bindBuffer(gl.ARRAY_BUFFER, set.points);
      gl.bufferData(gl.ARRAY_BUFFER, points, gl.STATIC_DRAW);
      set.count = points.length / 6;
    }
    gl.bindBuffer(gl.ARRAY_BUFFER, set.colors);
    gl.bufferData(gl.ARRAY_BUFFER, colors, gl.STATIC_DRAW);
  }

  // colours
  const style = name => getComputedStyle(root).getPropertyValue("--" + name).trim();
  const rgb = text => [1, 3, 5].map(i => parseInt(text.slice(i, i + 2), 16));
  const between = (a, b, t) => rgb(style(a)).map((v, k) => v + t * (rgb(style(b))[k] - v));
  const isDark = () => document.documentElement.dataset.theme === "dark";
  function paint() {
    const {values, categories, log} = modes[mode], colors = new Uint8Array(scene.count * 4);
    const map = scene.maps[isDark() ? "dark" : "light"].map(rgb), kinds = (categories ?? []).map(c => rgb(c.color));
    const scale = log ? v => Math.log(Math.max(v, 1e-9)) : v => v;
    const [low, high] = [scale(modes[mode].low), scale(modes[mode].high)];
    for (let i = 0; i < scene.count; i++) {
      const level = Math.max(0, Math.min(1, (scale(values[i]) - low) / (high - low || 1)));
      const color = categories ? kinds[values[i]] : map[Math.round(level * (map.length - 1))];
      colors.set(color, 4 * i);
      colors[4 * i + 3] = 255;
    }
    fill(segments, null, colors);
    fill(frames, null, solid(frames.count, between("muted", "surface", 0.45)));
    drawLegend();
    ask();
  }
  const solid = (n, color) => { const c = new Uint8Array(4 * n); for (let i = 0; i < n; i++) c.set([...color, 255], 4 * i); return c; };
  function drawLegend() {
    const m = modes[mode], name = document.createElement("div");
    legend.replaceChildren(name);
    name.textContent = m.unit ? `${m.label} [${m.unit}]` : m.label;
    if (m.categories) {
      for (const {label, color} of m.categories) {
        const row = document.createElement("div"), box = document.createElement("i");
        box.style.background = color;
        row.append(box, label);
        legend.append(row);
      }
      return;
    }
    const bar = document.createElement("div"), text = document.createElement("div");
    bar.className = "s3-bar";
    bar.style.background = `linear-gradient(90deg, ${scene.maps[isDark() ? "dark" : "light"].join(",")})`;
    text.className = "s3-ends";
    const middle = m.log ? Math.sqrt(m.low * m.high) : (m.low + m.high) / 2;
    for (const v of [m.low, middle, m.high]) text.append(Object.assign(document.createElement("span"), {textContent: number(v)}));
    legend.append(bar, text);
  }
  const number = v => Math.abs(v) >= 1e5 ? v.toExponential(1) : String(parseFloat(v.toPrecision(3)));

  // camera
  const view = () => camera.whole ? [scene.whole_low, scene.whole_high] : [scene.low, scene.high];
  function project() {
    const [low, high] = view(), middle = low.map((l, k) => (l + high[k]) / 2);
    const radius = Math.hypot(...low.map((l, k) => high[k] - l)) / 2 || 1;
    const [w, h] = [canvas.width, canvas.height], near = radius / 50, far = 40 * radius;
    const {yaw, pitch, zoom, shift} = camera, distance = 2.35 * radius / zoom * Math.max(1, 1.2 * h / w);
    const f = 1 / Math.tan(0.42), [cy, sy, cp, sp] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
    const axes = [[cy, 0, -sy], [-sy * sp, cp, -cy * sp], [sy * cp, sp, cy * cp]];
    const move = axes.map(axis => -axis.reduce((sum, a, k) => sum + a * middle[k], 0));
    move[0] += shift[0] * radius; move[1] += shift[1] * radius; move[2] -= distance;
    const rows = axes.map((axis, k) => [...axis, move[k]]);
    const full = [rows[0].map(v => v * f * h / w), rows[1].map(v => v * f),
      rows[2].map((v, k) => -(far + near) / (far - near) * v - (k === 3 ? 2 * far * near / (far - near) : 0)),
      rows[2].map(v => -v)];
    matrix = new Float32Array(16);
    full.forEach((row, i) => row.forEach((v, k) => matrix[4 * k + i] = v));
  }
  const screen = (x, y, z) => {
    const m = matrix, w = m[3] * x + m[7] * y + m[11] * z + m[15];
    if (w <= 0) return null;
    return [(1 + (m[0] * x + m[4] * y + m[8] * z + m[12]) / w) / 2 * canvas.clientWidth,
      (1 - (m[1] * x + m[5] * y + m[9] * z + m[13]) / w) / 2 * canvas.clientHeight];
  };
  function ask() { if (!wanted) { wanted = true; requestAnimationFrame(draw); } }
  function draw() {
    wanted = false;
    const ratio = window.devicePixelRatio || 1, [w, h] = [canvas.clientWidth, canvas.clientHeight];
    if (!w || !h) return;
    for (const c of [canvas, overlay]) if (c.width !== Math.round(w * ratio) || c.height !== Math.round(h * ratio)) {
      c.width = Math.round(w * ratio); c.height = Math.round(h * ratio);
    }
    project();
    gl.viewport(0, 0, canvas.width, canvas.height);
    const back = rgb(style("surface"));
    gl.clearColor(back[0] / 255, back[1] / 255, back[2] / 255, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.enable(gl.DEPTH_TEST);
    gl.useProgram(program);
    gl.uniformMatrix4fv(uniform.view, false, matrix);
    gl.uniform2f(uniform.size, canvas.width, canvas.height);
    const strokes = [[frames, 1], [segments, scene.count > 20000 ? 1.8 : 3], [marked, 7]];
    for (const [set, width] of strokes) {
      gl.uniform1f(uniform.width, width * ratio);
      gl.bindVertexArray(set.array);
      if (set === marked) gl.disable(gl.DEPTH_TEST);
      gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, set.count);
    }
    labels(ratio);
  }
  function labels(ratio) {
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
    const [low, high] = view(), span = low.map((l, k) => high[k] - l), reach = Math.max(...span);
    pen.font = "11px system-ui, sans-serif"; pen.textAlign = "center"; pen.textBaseline = "middle";
    const center = screen(...low.map((l, k) => (l + high[k]) / 2));
    ["x", "y", "z"].forEach((name, k) => {
      const [i, j] = [(k + 1) % 3, (k + 2) % 3];     // of the four edges: the lowest, for y the leftmost
      let from, p, q, best = Infinity;
      for (let c = 0; c < 4; c++) {
        const a = [0, 0, 0], b = [0, 0, 0];
        a[i] = b[i] = c & 1 ? high[i] : low[i]; a[j] = b[j] = c & 2 ? high[j] : low[j]; a[k] = low[k]; b[k] = high[k];
        const [s, t] = [screen(...a), screen(...b)];
        if (!s || !t) continue;
        const cost = k === 1 ? s[0] + t[0] : -s[1] - t[1];
        if (cost < best) { best = cost; from = a; p = s; q = t; }
      }
      if (!from || !center) return;
      pen.strokeStyle = style("muted"); pen.fillStyle = style("muted"); pen.lineWidth = 1.2;
      pen.beginPath(); pen.moveTo(...p); pen.lineTo(...q); pen.stroke();
      const length = Math.hypot(q[0] - p[0], q[1] - p[1]);
      let normal = length ? [(q[1] - p[1]) / length, (p[0] - q[0]) / length] : [0, 0];
      const middle = [(p[0] + q[0]) / 2, (p[1] + q[1]) / 2];
      if (normal[0] * (center[0] - middle[0]) + normal[1] * (center[1] - middle[1]) > 0) normal = normal.map(v => -v);
      const step = tickStep(span[k], Math.max(2, length / 45));
      for (let v = Math.ceil(low[k] / step) * step; v <= high[k] && length > 30; v += step) {
        const spot = [...from]; spot[k] = v;
        const s = screen(...spot);
        if (!s) continue;
        pen.beginPath(); pen.moveTo(...s); pen.lineTo(s[0] + 5 * normal[0], s[1] + 5 * normal[1]); pen.stroke();
        pen.fillText(String(parseFloat(v.toPrecision(6))), s[0] + 17 * normal[0], s[1] + 12 * normal[1]);
      }
      pen.fillStyle = style("text");
      pen.fillText(`${name} [cm]`, middle[0] + 40 * normal[0], middle[1] + 30 * normal[1]);
    });
  }
  function tickStep(span, wish) {
    const raw = span / wish, base = 10 ** Math.floor(Math.log10(raw));
    return base * [1, 2, 5, 10].find(k => k * base >= 0.75 * raw);
  }

  // selection
  function pick(x, y, reach = 9) {
    let best = -1, least = reach * reach;
    for (let i = 0; i < scene.count; i++) {
      const s = screen((ends[6 * i] + ends[6 * i + 3]) / 2, (ends[6 * i + 1] + ends[6 * i + 4]) / 2, (ends[6 * i + 2] + ends[6 * i + 5]) / 2);
      if (!s) continue;
      const d = (s[0] - x) ** 2 + (s[1] - y) ** 2;
      if (d < least) { least = d; best = i; }
    }
    return best;
  }
  function select(list) {
    chosen = list;
    const points = new Float32Array(list.length * 6);
    list.forEach((i, k) => points.set(ends.subarray(6 * i, 6 * i + 6), 6 * k));
    fill(marked, points, solid(list.length, rgb(style("mark"))));
    const text = list.length === 1 ? describe(list[0]) : list.length ? `${list.length} segments selected` : "";
    find("s3-status").textContent = text || scene.hint;
    markReadout();
    ask();
  }
  function markReadout() {
    for (const doc of host.Bokeh?.documents ?? []) for (const model of doc._all_models.values()) {
      for (const tag of model.tags ?? []) {
        if (!String(tag).startsWith("marks:")) continue;
        const key = tag.slice(6);
        const cut = key.lastIndexOf("/"), group = Number(key.slice(cut + 1));
        const place = places.find(p => p.plane === key.slice(0, cut));
        if (!place) continue;
        const near = chosen.filter(i => place.group[i] === group);
        const data = new host.Object();                  // Bokeh compares only objects of its own window
        data.x = host.Array.from(near, i => place.x[i]);
        data.y = host.Array.from(near, i => place.y[i]);
        model.data = data;
      }
    }
  }
  function fromReadout({plane, group, x, y, width, height}) {
    const place = places.find(p => p.plane === plane);
    if (!place) return;
    const near = [];
    let best = -1, least = 0.06 ** 2;
    for (let i = 0; i < scene.count; i++) {
      if (place.group[i] !== group) continue;
      const d = ((place.x[i] - x) / width) ** 2 + ((place.y[i] - y) / height) ** 2;
      if (d < 0.015 ** 2) near.push(i);
      if (d < least) { least = d; best = i; }
    }
    select(near.length ? near : best >= 0 ? [best] : []);
  }
  const describe = i => modes.map(m => m.categories ? m.categories[m.values[i]].label
    : `${m.label} ${number(m.values[i])}${m.unit ? " " + m.unit : ""}`).join(" · ");

  // mouse, keys, menus
  const held = new Map();
  let moved = 0;
  overlay.addEventListener("pointerdown", e => { overlay.setPointerCapture(e.pointerId); held.set(e.pointerId, [e.offsetX, e.offsetY]); moved = 0; });
  overlay.addEventListener("pointermove", e => {
    const before = held.get(e.pointerId);
    if (!before) {
      hover = pick(e.offsetX, e.offsetY);
      tip.style.display = hover < 0 ? "none" : "block";
      if (hover >= 0) {
        tip.textContent = describe(hover);
        tip.style.left = Math.min(e.offsetX + 12, canvas.clientWidth - tip.offsetWidth - 4) + "px";
        tip.style.top = e.offsetY + 14 + "px";
      }
      return;
    }
    const [dx, dy] = [e.offsetX - before[0], e.offsetY - before[1]];
    moved += Math.abs(dx) + Math.abs(dy);
    held.set(e.pointerId, [e.offsetX, e.offsetY]);
    if (held.size > 1) camera.zoom *= 1 - dy * 0.004;
    else if (e.shiftKey || e.buttons & 6) { camera.shift[0] += 2 * dx / canvas.clientHeight; camera.shift[1] -= 2 * dy / canvas.clientHeight; }
    else { camera.yaw -= dx * 0.008; camera.pitch = Math.max(-1.57, Math.min(1.57, camera.pitch + dy * 0.008)); }
    ask();
  });
  const release = e => {
    if (held.delete(e.pointerId) && e.type === "pointerup" && moved < 4) {
      const i = pick(e.offsetX, e.offsetY);
      select(i < 0 ? [] : [i]);
    }
  };
  overlay.addEventListener("pointerup", release);
  overlay.addEventListener("pointercancel", release);
  overlay.addEventListener("pointerleave", () => { tip.style.display = "none"; });
  overlay.addEventListener("contextmenu", e => e.preventDefault());
  overlay.addEventListener("wheel", e => { e.preventDefault(); camera.zoom = Math.max(0.1, Math.min(200, camera.zoom * Math.exp(-e.deltaY * 0.0012))); ask(); }, {passive: false});
  const reset = () => { Object.assign(camera, {yaw: -0.9, pitch: 0.35, zoom: 1, shift: [0, 0]}); ask(); };
  overlay.addEventListener("dblclick", reset);
  overlay.addEventListener("keydown", e => {
    const turn = {ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1]}[e.key];
    if (!turn) return;
    e.preventDefault();
    camera.yaw += turn[0]; camera.pitch = Math.max(-1.57, Math.min(1.57, camera.pitch + turn[1]));
    ask();
  });
  modes.forEach((m, k) => menu.append(new Option(m.label, k)));
  menu.addEventListener("change", () => { mode = Number(menu.value); paint(); });
  const extent = find("s3-extent");
  const nameExtent = () => { extent.textContent = camera.whole ? "zoom to event" : "whole detector"; };
  extent.addEventListener("click", () => { camera.whole = !camera.whole; Object.assign(camera, {zoom: 1, shift: [0, 0]}); nameExtent(); ask(); });
  find("s3-reset").addEventListener("click", reset);
  const gone = new AbortController(), signal = gone.signal;
  window.addEventListener("pagehide", () => gone.abort());
  host.document.addEventListener("dptoolkit:readout", e => fromReadout(e.detail), {signal});
  host.document.addEventListener("dptoolkit:theme", e => { document.documentElement.dataset.theme = e.detail; paint(); select(chosen); }, {signal});
  new ResizeObserver(ask).observe(canvas);
  if (!scene.frame.length) extent.style.display = "none";
  nameExtent();
  paint();
  select([]);

  function link(gl, vertex, fragment) {
    const program = gl.createProgram();
    for (const [kind, code] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, code);
      gl.compileShader(shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    return program;
  }
}
