// Files travel in pieces: Jupyter closes the connection at messages above 10 MB, and Colab loses those
// near one. A piece is sent again until the kernel has said that it has it: a connection that is cut costs time and
// nothing else. The whole is hashed here, by hand: a page on plain http is given no crypto by its browser.
const PIECE = (window.google?.colab ? 180 : 720) * 1024; // a third more on its way, as base64
const PATIENCE = [20, 30, 60]; // seconds until a piece is sent again

const PRIMES = (() => {
  const found = [];
  for (let n = 2; found.length < 64; n++) if (found.every((prime) => n % prime)) found.push(n);
  return found;
})();
const fraction = (x) => Math.floor((x - Math.floor(x)) * 2 ** 32);
const ROUNDS = Uint32Array.from(PRIMES, (prime) => fraction(Math.cbrt(prime)));

// SHA-256 as FIPS 180-4 describes it, fed piece by piece.
class Sha256 {
  constructor() {
    this.state = Uint32Array.from(PRIMES.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));
    this.words = new Uint32Array(64);
    this.rest = new Uint8Array(0);
    this.bytes = 0;
  }
  add(bytes) {
    this.bytes += bytes.length;
    let data = bytes;
    if (this.rest.length) {
      data = new Uint8Array(this.rest.length + bytes.length);
      data.set(this.rest);
      data.set(bytes, this.rest.length);
    }
    let at = 0;
    for (; at + 64 <= data.length; at += 64) this.block(data, at);
    this.rest = data.slice(at);
  }
  block(data, at) {
    const w = this.words, s = this.state;
    for (let i = 0; i < 16; i++, at += 4) w[i] = (data[at] << 24) | (data[at + 1] << 16) | (data[at + 2] << 8) | data[at + 3];
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15], y = w[i - 2];
      const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
    }
    let [a, b, c, d, e, f, g, h] = s;
    for (let i = 0; i < 64; i++) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + ROUNDS[i] + w[i]) | 0;
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g; g = f; f = e; e = (d + t1) | 0; d = c; c = b; b = a; a = (t1 + t2) | 0;
    }
    s[0] += a; s[1] += b; s[2] += c; s[3] += d; s[4] += e; s[5] += f; s[6] += g; s[7] += h;
  }
  hex() {
    const bits = this.bytes * 8, filled = this.rest.length;
    const tail = new Uint8Array(filled < 56 ? 64 : 128);
    tail.set(this.rest);
    tail[filled] = 0x80;
    const view = new DataView(tail.buffer);
    view.setUint32(tail.length - 8, Math.floor(bits / 2 ** 32));
    view.setUint32(tail.length - 4, bits >>> 0);
    for (let at = 0; at < tail.length; at += 64) this.block(tail, at);
    return Array.from(this.state, (word) => word.toString(16).padStart(8, "0")).join("");
  }
}

const base64 = (bytes) => {
  let found = "";
  for (let at = 0; at < bytes.length; at += 32768) found += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(found);
};
const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
class Ended extends Error {} // cancelled, or the page is gone

function render({ model, el }) {
  const make = (kind, name, text = "") => {
    const made = document.createElement(kind);
    made.className = name;
    made.textContent = text;
    return made;
  };
  const zone = make("label", "tbw-drop");
  const input = document.createElement("input");
  input.type = "file";
  input.accept = model.get("accept");
  input.multiple = model.get("most_files") > 1;
  zone.append(make("span", "", model.get("invitation")), input);
  const sending = make("div", "tbw-sending tbw-hidden");
  const line = make("div", "tbw-facts");
  line.setAttribute("role", "status");
  const bar = make("div", "tbw-progress");
  bar.setAttribute("role", "progressbar");
  const filled = document.createElement("span");
  bar.append(filled);
  const cancel = make("button", "jupyter-button tbw-at-upload-cancel", "Cancel");
  sending.append(bar, line, cancel);
  const problem = make("div", "tbw-error");
  el.append(zone, sending, problem);

  let hear = null, job = null;
  const say = (file, sent, more = "") => {
    const share = file.size ? sent / file.size : 1;
    filled.style.width = `${100 * share}%`;
    line.textContent = `${file.name} · ${megabytes(sent)} of ${megabytes(file.size)} MB · ${Math.floor(100 * share)} %${more}`;
  };
  const wait = (mine, seconds, fits) => new Promise((done) => {
    const end = (answer) => { clearTimeout(timer); removeEventListener("online", again); hear = null; done(answer); };
    const again = () => end(null);
    const timer = setTimeout(again, 1000 * seconds);
    addEventListener("online", again); // the network is back: no need to wait out the pause
    mine.end = again;
    hear = (message) => { if (fits(message)) end(message); };
  });
  const ask = async (mine, message, fits, quiet) => {
    mine.quiet = quiet;
    for (let attempt = 0; ; attempt++) {
      if (mine.ended) throw new Ended();
      const answer = wait(mine, PATIENCE[Math.min(attempt, PATIENCE.length - 1)], (heard) => heard.key === mine.key && (heard.type === "refused" || fits(heard)));
      try {
        model.send({ ...message, key: mine.key });
      } catch (error) {
        console.warn("not sent, it will be tried again:", error.message); // there is no connection at this moment
      }
      if (!navigator.onLine) quiet();
      const heard = await answer;
      if (mine.ended) throw new Ended();
      if (heard?.type === "refused") throw new Error(heard.words);
      if (heard) return heard;
      quiet();
    }
  };
  const send = async (mine, files) => {
    const lost = (file, sent) => () => say(file, sent, " · no answer, trying again; what has arrived stays");
    const announced = files.map((file) => ({ name: file.name, bytes: file.size }));
    await ask(mine, { type: "begin", files: announced }, (heard) => heard.type === "begun", lost(files[0], 0));
    const sums = [];
    for (const [place, file] of files.entries()) {
      const hash = new Sha256();
      for (let at = 0, number = 0; at < file.size; at += PIECE, number++) {
        const bytes = new Uint8Array(await file.slice(at, at + PIECE).arrayBuffer());
        hash.add(bytes);
        say(file, at);
        const fits = (heard) => heard.type === "got" && heard.file === place && heard.number === number;
        await ask(mine, { type: "piece", file: place, number, data: base64(bytes) }, fits, lost(file, at));
      }
      sums.push(hash.hex());
    }
    const last = files[files.length - 1];
    say(last, last.size, " · checking that it is whole");
    await ask(mine, { type: "end", sha256: sums }, (heard) => heard.type === "done", lost(last, last.size));
  };
  const refusal = (files) => {
    const most = model.get("most_files"), bytes = model.get("most_bytes");
    if (files.length > most) return `${most === 1 ? "One file" : `${most} files`} at a time; a zip may hold several.`;
    const large = files.find((file) => file.size > bytes);
    return large ? `${large.name} is larger than ${megabytes(bytes)} MB.` : "";
  };
  const take = async (files) => {
    if (job || !files.length) return;
    problem.textContent = refusal(files);
    if (problem.textContent) return;
    const mine = { key: Math.random().toString(36).slice(2), ended: false, end: () => {}, quiet: () => {} };
    job = mine;
    zone.classList.add("tbw-hidden");
    sending.classList.remove("tbw-hidden");
    say(files[0], 0);
    try {
      await send(mine, files);
    } catch (error) {
      if (!(error instanceof Ended)) problem.textContent = `✕ ${error.message}`;
    } finally {
      job = null;
      input.value = "";
      zone.classList.remove("tbw-hidden");
      sending.classList.add("tbw-hidden");
    }
  };
  const stop = () => {
    if (!job) return;
    job.ended = true;
    job.end();
  };
  const onMessage = (message) => hear?.(message);
  const onOffline = () => job?.quiet();

  input.addEventListener("change", () => take([...input.files]));
  cancel.addEventListener("click", () => {
    const key = job?.key;
    stop();
    if (key) model.send({ type: "cancel", key });
  });
  zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("is-over"); });
  zone.addEventListener("dragleave", () => zone.classList.remove("is-over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    zone.classList.remove("is-over");
    take([...event.dataTransfer.files]);
  });
  model.on("msg:custom", onMessage);
  addEventListener("offline", onOffline);
  return () => {
    stop();
    removeEventListener("offline", onOffline);
    model.off("msg:custom", onMessage);
  };
}
export default { render };
