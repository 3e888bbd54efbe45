// What needs a script: the choice between before and after, and the panel about the instruction under the pointer. The panel
// repeats what stands on the page; nothing is put on it as HTML.
(() => {
  "use strict";
  const root = document.documentElement;
  const panel = document.getElementById("look");

  for (const group of document.querySelectorAll(".choice")) group.hidden = false;
  const buttons = [...document.querySelectorAll(".choice button")];
  const choose = (view, pressed) => {
    const top = pressed.getBoundingClientRect().top;
    if (view === "both") delete root.dataset.view; else root.dataset.view = view;
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.view === view));
    // What is above may have become shorter: the pressed button stays where it was.
    scrollBy(0, pressed.getBoundingClientRect().top - top);
  };
  for (const button of buttons) button.addEventListener("click", () => choose(button.dataset.view, button));

  const text = (node) => (node ? node.textContent.trim() : "");
  const line = (what, name) => {
    const p = document.createElement("p");
    if (name) p.className = name;
    p.textContent = what;
    return p;
  };
  // The text of an instruction: what stands behind its position and bytes.
  const code = (row) => [...row.childNodes].filter((n) => n.nodeName !== "B" && n.nodeName !== "I").map((n) => n.textContent).join("").trim();

  let shown = null;
  const hide = () => {
    if (shown) shown.classList.remove("on");
    shown = null;
    panel.hidden = true;
  };
  const show = (row) => {
    if (row === shown) return;
    hide();
    shown = row;
    row.classList.add("on");
    const name = text(row.closest("article").querySelector("h3 code"));
    const forms = row.nodeName === "SUMMARY" ? [...row.querySelectorAll("span")] : [row];
    const lines = [line(name + "+" + text(row.querySelector("b")), "about")];
    for (const form of forms) {
      const which = form.classList.contains("after") ? "after" : form.classList.contains("before") ? "before" : "";
      lines.push(line((which && which + "  ") + code(form), "what " + which), line(text(form.querySelector("i")), "bytes"));
    }
    const source = row.closest(".code > div").querySelector(".s");
    if (source) lines.push(line(text(source.querySelector("b")) + "  " + text(source.lastChild), "source"));
    const facts = row.nodeName === "SUMMARY" ? row.parentNode.querySelector("dl") : null;
    for (const dt of facts ? facts.querySelectorAll("dt") : []) {
      if (text(dt) !== "source") lines.push(line(text(dt) + ": " + text(dt.nextElementSibling)));
    }
    panel.replaceChildren(...lines);
    panel.hidden = false;
  };
  const rowOf = (target) => (target.closest ? target.closest(".function .code p:not(.s), .function .code summary") : null);
  const isOpen = (row) => row.nodeName === "SUMMARY" && row.parentNode.open;
  const look = (event) => {
    const row = rowOf(event.target);
    if (row && !isOpen(row)) show(row);
    else if (!panel.contains(event.target)) hide();
  };
  document.addEventListener("click", (event) => {
    const row = rowOf(event.target);
    // This click is about to open what the panel says, in its place.
    if (row && row.nodeName === "SUMMARY" && !row.parentNode.open) hide();
    else if (row) show(row);
    else if (!panel.contains(event.target)) hide();
  });
  document.addEventListener("focusin", look);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });
  document.addEventListener("pointerover", (event) => {
    if (event.pointerType !== "touch") look(event);
  });
  // On paper, what is folded is open.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const details of opened) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of opened) details.open = false;
  });
})();
