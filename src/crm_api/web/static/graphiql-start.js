"use strict";
// The key stays in this tab: session storage is gone when the tab is closed.
const input = document.querySelector("#key input");
input.value = sessionStorage.getItem("crm-api-key") || "";
input.addEventListener("input", () => sessionStorage.setItem("crm-api-key", input.value.trim()));

async function fetcher(request, options) {
  const headers = { accept: "application/json", "content-type": "application/json", ...(options && options.headers) };
  if (input.value.trim()) headers.authorization = "Bearer " + input.value.trim();
  const response = await fetch(location.pathname, { method: "POST", headers, body: JSON.stringify(request) });
  return response.json();
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
