"use strict";
// The key stays in this tab: session storage is gone when the tab is closed.
const input = document.querySelector("#key input");
input.value = sessionStorage.getItem("crm-api-key") || "";
input.addEventListener("input", () => sessionStorage.setItem("crm-api-key", input.value.trim()));

// What GraphiQL knows of the document lags behind the keyboard, so the operations are looked for in the text itself:
// "subscription" and its name outside of all braces, once texts and comments are gone.
function isSubscription(request) {
  let rest = request.query.replace(/"""[^]*?"""|"(?:\\.|[^"\\])*"|#.*/g, " ");
  for (let before = ""; before !== rest; ) {
    before = rest;
    rest = rest.replace(/\{[^{}]*\}|\([^()]*\)/g, " ");
  }
  const found = [...rest.matchAll(/\b(query|mutation|subscription)\b\s*(\w*)/g)];
  const chosen = request.operationName ? found.find((each) => each[2] === request.operationName) : found[0];
  return Boolean(chosen) && chosen[1] === "subscription";
}

// Server-sent events by hand: EventSource can send neither a key nor a body.
async function* listen(request, headers) {
  const stop = new AbortController();
  try {
    const response = await fetch(location.pathname, {
      method: "POST",
      headers: { ...headers, accept: "text/event-stream" },
      body: JSON.stringify(request),
      signal: stop.signal,
    });
    if (!response.ok || !response.headers.get("content-type").startsWith("text/event-stream")) {
      yield await response.json();
      return;
    }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let waiting = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const pieces = (waiting + value).split("\n\n");
      waiting = pieces.pop();
      for (const piece of pieces) {
        if (piece.startsWith("event: complete")) return;
        const data = piece.split("\n").find((line) => line.startsWith("data: "));
        if (data) yield JSON.parse(data.slice(6));
      }
    }
  } finally {
    stop.abort();
  }
}

async function once(request, headers) {
  const response = await fetch(location.pathname, { method: "POST", headers, body: JSON.stringify(request) });
  return response.json();
}

function fetcher(request, options) {
  const key = input.value.trim();
  const headers = { accept: "application/json", "content-type": "application/json", ...(options && options.headers) };
  if (key) headers.authorization = "Bearer " + key;
  else if (!Object.keys(headers).some((name) => name.toLowerCase() === "authorization"))
    return Promise.resolve({ errors: [{ message: "Enter your API key above." }] });
  return isSubscription(request) ? listen(request, headers) : once(request, headers);
}

const root = ReactDOM.createRoot(document.getElementById("app"));
const show = () =>
  root.render(
    React.createElement(GraphiQL, {
      fetcher,
      key: input.value,
      defaultEditorToolsVisibility: true,
      defaultQuery: "{\n  customers(first: 3) {\n    nodes {\n      id\n      name\n    }\n  }\n}\n",
    })
  );
input.addEventListener("change", show);
show();
