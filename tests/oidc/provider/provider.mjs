// A real OpenID provider for tests: fixed users whose groups, methods and standing a test changes through the
// control endpoint. It prints one line of JSON with its addresses and stops when its standard input closes.
import { createServer } from 'node:http';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { Provider, interactionPolicy } from 'oidc-provider';

const settings = JSON.parse(process.argv[2]); // {port, clients, audience}
const issuer = `http://127.0.0.1:${settings.port}`;
const users = new Map();
let keys = [newKey()];
let clients = settings.clients;
let mode = 'up'; // or 'away' (drops every connection), 'broken' (503)
let provider;
const heard = []; // what was asked: "POST /token"

function newKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'RS256' };
}

function account(sub) {
  const user = users.get(sub);
  if (!user || user.disabled) return undefined; // disabled: its tokens are of nobody
  return { accountId: sub, claims: () => ({ sub, ...user.claims }) };
}

// Who is disabled has to sign in again, and cannot.
function policy() {
  const { base, Check } = interactionPolicy;
  const prompts = base();
  prompts.get('login').checks.add(new Check('disabled', 'the account is disabled', (ctx) => {
    const sub = ctx.oidc.session.accountId;
    return sub && !account(sub) ? Check.REQUEST_PROMPT : Check.NO_NEED_TO_PROMPT;
  }));
  return prompts;
}

function build() {
  provider = new Provider(issuer, {
    clients,
    jwks: { keys },
    findAccount: (_, sub) => account(sub),
    claims: {
      openid: ['sub', 'amr', 'acr'], email: ['email', 'email_verified'], profile: ['name'], groups: ['groups'],
      sid: null, auth_time: null, iss: null,
    },
    scopes: ['openid', 'offline_access', 'email', 'profile', 'groups'],
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (ctx, form) => {
          ctx.body = page(`${form}<button form="op.logoutForm" name="logout" value="yes">Yes, sign me out</button>`);
        },
      },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: '', audience: settings.audience, accessTokenFormat: 'jwt', accessTokenTTL: 600,
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
    pkce: { required: () => true },
    issueRefreshToken: (_, client, source) => client.grantTypeAllowed('refresh_token') && source.scopes.has('offline_access'),
    rotateRefreshToken: true,
    interactions: { policy: policy(), url: (_, interaction) => `/interaction/${interaction.uid}` },
    cookies: { keys: ['tests only'] },
    ttl: { Session: 3600, Grant: 3600, Interaction: 600, AccessToken: 600, IdToken: 600, RefreshToken: 3600 },
    // Its own fetch refuses this machine's addresses; the console under test has no other.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
  });
  provider.use(async (ctx, next) => {
    const [, kind, uid] = ctx.path.split('/');
    if (kind !== 'interaction') return next();
    return interact(ctx, uid);
  });
  provider.on('backchannel.error', () => {}); // nobody listens there in most tests
  provider.on('server_error', (_, error) => console.error(error));
}

function page(body) {
  return `<!doctype html><html lang="en"><title>Test provider</title><link rel="icon" href="data:,"><main>${body}</main></html>`;
}

async function interact(ctx, uid) {
  const interaction = await provider.interactionDetails(ctx.req, ctx.res);
  if (interaction.prompt.name === 'login') {
    if (ctx.method === 'GET') {
      ctx.body = page(`<form method="post" action="/interaction/${uid}"><label>Account <input name="sub" required></label>
        <button>Sign in at the provider</button></form>`);
      return;
    }
    const sub = new URLSearchParams(await read(ctx.req)).get('sub');
    const user = users.get(sub);
    const result = user && !user.disabled
      ? { login: { accountId: sub, amr: user.amr, acr: user.acr } }
      : { error: 'access_denied', error_description: 'no such account' };
    await provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: false });
  } else {
    const { params, session, grantId } = interaction;
    const grant = (grantId && await provider.Grant.find(grantId))
      || new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    grant.addOIDCScope(params.scope);
    for (const resource of [params.resource ?? []].flat()) grant.addResourceScope(resource, '');
    const consent = { consent: { grantId: await grant.save() } };
    await provider.interactionFinished(ctx.req, ctx.res, consent, { mergeWithLastSubmission: true });
  }
  ctx.respond = false;
}

async function read(request) {
  let body = '';
  for await (const part of request) body += part;
  return body;
}

const deeds = {
  user: ({ sub, ...user }) => users.set(sub, { claims: {}, ...user }),
  clients: (given) => { clients = given; build(); },
  // Signs with a new key; the old one stays published so that what it signed can still be verified, or not.
  rotate: ({ keep }) => { keys = keep ? [newKey(), ...keys] : [newKey()]; build(); },
  mode: (given) => { mode = given; },
  heard: () => heard.splice(0),
  logout: async ({ client, sub, sid }) => {
    await (await provider.Client.find(client)).backchannelLogout(sub, sid);
  },
};

const server = createServer((request, response) => {
  heard.push(`${request.method} ${request.url.split('?')[0]}`);
  if (mode === 'away') request.socket.destroy();
  else if (mode === 'broken') response.writeHead(503).end('down for maintenance');
  else provider.callback()(request, response);
});
const control = createServer(async (request, response) => {
  try {
    const result = await deeds[request.url.slice(1)](JSON.parse((await read(request)) || 'null'));
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(Array.isArray(result) ? result : {}));
  } catch (error) {
    response.writeHead(500).end(String(error));
  }
});

build();
process.stdin.resume().on('end', () => process.exit(0));
server.listen(settings.port, '127.0.0.1', () => control.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ issuer, control: `http://127.0.0.1:${control.address().port}` }));
}));
