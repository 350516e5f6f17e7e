// The peer of the GraphQL benchmarks: PostGraphile 5 with its Amber preset, as one would run it in production.
// No GraphiQL, no watch mode, no explain; prepared statements; connections over the Unix socket, as many as ours.
// No authentication, no row-level security (it connects as the tables' owner), no limits.
import { createServer } from "node:http";
import { grafserv } from "postgraphile/grafserv/node";
import { postgraphile } from "postgraphile";
import { makePgService } from "postgraphile/adaptors/pg";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";

const port = Number(process.argv[2]);
const preset = {
  extends: [PostGraphileAmberPreset],
  pgServices: [
    makePgService({
      poolConfig: {
        host: process.env.BENCH_SOCKETS,
        port: 5432,
        user: "crm",
        database: process.env.BENCH_DATABASE,
        max: 4,
        options: "-c jit=off",
      },
      schemas: ["public"],
    }),
  ],
  grafserv: { graphqlPath: "/graphql", graphiql: false, watch: false, websockets: false },
};
const server = createServer();
server.on("error", (error) => {
  console.error(error);
  process.exit(1);
});
await postgraphile(preset).createServ(grafserv).addTo(server);
server.keepAliveTimeout = 60_000;
server.listen(port, "127.0.0.1");
