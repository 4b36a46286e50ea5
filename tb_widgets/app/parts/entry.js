// A line of text with its button. Text and press travel in one message: a kernel that is busy then never takes what
// stood here a moment ago, and never writes over what is being typed.
const PASTED = 8; // characters that come at once are pasted, not typed

function render({ model, el }) {
  const frame = document.createElement("div");
  const input = document.createElement("input");
  input.type = "text";
  input.className = "widget-input";
  input.placeholder = model.get("placeholder");
  frame.append(input);
  const button = document.createElement("button");
  button.className = "jupyter-button widget-button";
  button.textContent = model.get("verb");
  el.append(frame, button);
  let before = "";
  const follow = () => { before = input.value = model.get("text"); };
  const mark = () => { frame.className = `tbw-input${model.get("is_bad") ? " is-bad" : ""}`; };
  const tell = (event) => {
    model.set("text", input.value);
    model.send({ event, text: input.value });
  };
  input.addEventListener("keydown", (event) => {
    event.stopPropagation(); // a notebook has commands on single keys
    if (event.key === "Enter" && !event.isComposing) tell("enter");
  });
  input.addEventListener("input", (event) => {
    const came = input.value.length - before.length;
    before = input.value;
    if (came >= PASTED || event.inputType?.startsWith("insertFrom")) tell("paste");
  });
  button.addEventListener("click", () => tell("enter"));
  model.on("change:text", follow);
  model.on("change:is_bad", mark);
  follow();
  mark();
  return () => {
    model.off("change:text", follow);
    model.off("change:is_bad", mark);
  };
}
export default { render };
