// Asks a simulated org what jsforce's users ask, and prints the answers as one line of JSON.
import jsforce from 'jsforce';

const { Connection } = jsforce;
const [instanceUrl, clientId, clientSecret, soql] = process.argv.slice(2);

async function collected(stream) {
  const ids = [];
  for await (const record of stream) ids.push(record.Id);
  return ids;
}

const connection = new Connection({ oauth2: { loginUrl: instanceUrl, clientId, clientSecret } });
const user = await connection.authorize({ grant_type: 'client_credentials' });
connection.version = '66.0';

const first = await connection.query(soql);
const fetched = await connection.query(soql, { autoFetch: true, maxFetch: 100000 });
const everything = await connection.query(soql, { autoFetch: true, maxFetch: 100000, scanAll: true });
const owner = await connection.query('SELECT Id, Owner.Name, Owner.Type FROM MessagingSession LIMIT 1');
const found = await connection.sobject('MessagingSession').find({ Status: 'Ended' }, 'Id, Status').limit(3);
const described = await connection.describe('MessagingSession');
const listed = await connection.describeGlobal();
const identity = await connection.identity();
const limits = await connection.request('/limits');
const deleted = await connection.sobject('MessagingSession').deleted('2026-11-19T17:00:00Z', '2026-11-19T18:30:00Z');
const batch = await connection.request({
  method: 'POST',
  url: '/composite/batch',
  body: JSON.stringify({ batchRequests: [{ method: 'GET', url: 'v66.0/limits' }, { method: 'GET', url: 'v66.0/nothing' }] }),
  headers: { 'content-type': 'application/json' },
});
connection.bulk2.pollInterval = 20;
const bulk = await collected(await connection.bulk2.query(soql, { pollInterval: 20, pollTimeout: 30000 }));
const bulkAll = await collected(await connection.bulk2.query(soql, { pollInterval: 20, pollTimeout: 30000, scanAll: true }));
let refused;
try {
  await connection.query('SELECT Nothing FROM MessagingSession');
} catch (error) {
  refused = error.errorCode ?? error.name;
}

console.log(JSON.stringify({
  organization: user.organizationId,
  first: { total: first.totalSize, done: first.done, rows: first.records.length },
  fetched: fetched.records.map((record) => record.Id),
  everything: everything.records.map((record) => record.Id),
  owner: owner.records[0].Owner,
  found: found.map((record) => record.Status),
  fields: described.fields.length,
  objects: listed.sobjects.map((sobject) => sobject.name),
  username: identity.username,
  usage: connection.limitInfo?.apiUsage,
  daily: limits.DailyApiRequests.Max,
  deleted: deleted.deletedRecords.length,
  batch: batch.results.map((result) => result.statusCode),
  bulk,
  bulkAll,
  refused,
}));
