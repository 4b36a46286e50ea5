// Files travel in pieces below a megabyte, and the next one leaves when the kernel has the last: larger messages
// close the connection without a word (Jupyter) or get lost (Colab).
const PIECE = 384 * 1024;

function render({ model, el }) {
  const zone = document.createElement("label");
  zone.className = "tbw-drop";
  const text = document.createElement("span");
  const input = document.createElement("input");
  input.type = "file";
  input.multiple = true;
  input.accept = ".py,.json,.zip";
  zone.append(text, input);
  el.appendChild(zone);
  let waiting = null;

  const say = (words) => { text.textContent = words; };
  const idle = () => say("Drop model.py and config.json here, or a zip of them, or choose them.");
  const base64 = (bytes) => {
    let found = "";
    for (let at = 0; at < bytes.length; at += 32768) found += String.fromCharCode(...bytes.subarray(at, at + 32768));
    return btoa(found);
  };
  const answered = () => new Promise((done) => { waiting = done; });
  const send = async (files) => {
    if (waiting || !files.length) return;
    model.send({ type: "begin", files: files.map((file) => ({ name: file.name, bytes: file.size })) });
    if (await answered() !== "next") return;
    for (const [number, file] of files.entries()) {
      for (let at = 0; at < file.size; at += PIECE) {
        const bytes = new Uint8Array(await file.slice(at, at + PIECE).arrayBuffer());
        say(`Sending ${file.name}: ${Math.round((100 * at) / file.size)} %`);
        model.send({ type: "piece", number, at, data: base64(bytes) });
        if (await answered() !== "next") return;
      }
    }
    model.send({ type: "end" });
    await answered();
  };
  const take = (files) => send([...files]).catch((error) => say(String(error))).finally(() => { waiting = null; input.value = ""; idle(); });
  const onMessage = (message) => {
    const done = waiting;
    waiting = null;
    if (done) done(message.type);
  };

  input.addEventListener("change", () => take(input.files));
  zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("is-over"); });
  zone.addEventListener("dragleave", () => zone.classList.remove("is-over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    zone.classList.remove("is-over");
    take(event.dataTransfer.files);
  });
  model.on("msg:custom", onMessage);
  idle();
  return () => model.off("msg:custom", onMessage);
}
export default { render };
