// Run the GraphQL-over-HTTP audit of `graphql-http` against a server and print each result.
//
//   node audit.mjs URL [API_KEY]
//
// Exit status 0 only when every audit, recommendations included, is met.
import { serverAudits } from "graphql-http";

const [url, key] = process.argv.slice(2);
const authorization = key ? { authorization: `Bearer ${key}` } : {};
const fetchFn = (target, options = {}) =>
  fetch(target, { ...options, headers: { ...options.headers, ...authorization } });

let met = 0;
const audits = serverAudits({ url, fetchFn });
for (const { id, name, fn } of audits) {
  const result = await fn();
  if (result.status === "ok") {
    met += 1;
    console.log(`ok      ${id}  ${name}`);
  } else {
    console.log(`${result.status.padEnd(7)} ${id}  ${name}\n        ${result.reason}`);
    console.log(`        ${result.response.status} ${(await result.response.text().catch(() => "")).slice(0, 300)}`);
  }
}
console.log(`${met} of ${audits.length} audits met`);
process.exit(met === audits.length ? 0 : 1);
