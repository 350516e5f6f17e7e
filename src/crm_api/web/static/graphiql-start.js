"use strict";
// The key stays in this tab: session storage is gone when the tab is closed.
const input = document.querySelector("#key input");
input.value = sessionStorage.getItem("crm-api-key") || "";
input.addEventListener("input", () => sessionStorage.setItem("crm-api-key", input.value.trim()));

async function fetcher(request, options) {
  const key = input.value.trim();
  const headers = { accept: "application/json", "content-type": "application/json", ...(options && options.headers) };
  if (key) headers.authorization = "Bearer " + key;
  else if (!Object.keys(headers).some((name) => name.toLowerCase() === "authorization"))
    return { errors: [{ message: "Enter your API key above." }] };
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
