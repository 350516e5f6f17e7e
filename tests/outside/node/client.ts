// What a front end would write on the generated types; compiled strictly, never run.
import type { components, paths } from "./schema";

type Customer = components["schemas"]["Customer"];
type Problem = components["schemas"]["Problem"];
type Draft = paths["/v1/customers"]["post"]["requestBody"]["content"]["application/json"];
type Created = paths["/v1/customers"]["post"]["responses"][201]["content"]["application/json"];
type Page = paths["/v1/customers"]["get"]["responses"][200]["content"]["application/json"];
type Filters = NonNullable<paths["/v1/customers"]["get"]["parameters"]["query"]>;

export class CrmError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail ?? problem.title);
  }

  fieldErrors(): Map<string, string> {
    return new Map(this.problem.errors.map((error) => [error.pointer, error.message]));
  }
}

async function call<T>(key: string, method: string, path: string, body?: unknown): Promise<T> {
  const answer = await fetch(path, {
    method,
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: body === undefined ? null : JSON.stringify(body),
  });
  if (!answer.ok) throw new CrmError((await answer.json()) as Problem);
  return (await answer.json()) as T;
}

export async function create(key: string, name: string): Promise<Customer> {
  const draft: Draft = { name, contact_points: [{ kind: "mobile", value: "138 1234 5678" }] };
  return call<Created>(key, "POST", "/v1/customers", draft);
}

export async function* everyone(key: string, filters: Filters): AsyncGenerator<Customer> {
  let after: string | null = null;
  do {
    const query = new URLSearchParams({ limit: String(filters.limit ?? 50), ...(after === null ? {} : { after }) });
    const page: Page = await call<Page>(key, "GET", `/v1/customers?${query}`);
    yield* page.data;
    after = page.page.next;
  } while (after !== null);
}

// @ts-expect-error a misspelt field must not compile
export const misspelt: Draft = { nmae: "王小明" };

// @ts-expect-error a value outside the enumeration must not compile
export const unknownKind: Customer["kind"] = "robot";
