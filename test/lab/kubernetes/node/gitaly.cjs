// Stands in for Gitaly or Praefect in a pod: its probe's gRPC service, and a recorded page of its /metrics.
// Runs in the exporter's image: node gitaly.cjs PAGE.gz
const { readFileSync } = require('node:fs');
const { createServer: createHttp } = require('node:http');
const { createServer: createHttp2 } = require('node:http2');
const { gunzipSync } = require('node:zlib');

const page = gunzipSync(readFileSync(process.argv[2]));
createHttp((_request, response) => {
  response.writeHead(200, { 'Content-Type': 'text/plain; version=0.0.4' });
  response.end(page);
}).listen(9236);

// grpc.health.v1.Health/Check: a frame of 5 bytes, then status (field 1) SERVING (1).
const serving = Buffer.from([0, 0, 0, 0, 2, 8, 1]);
createHttp2()
  .on('stream', (stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(serving);
  })
  .listen(8075);
process.once('SIGTERM', () => process.exit());
