// A real OpenID Connect provider for the tests. Who is signed in, and what is known of them, comes
// by POST /test/person; nobody has to click, and the protocol is the library's own.
import { Provider } from 'oidc-provider';

const [port, redirect] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
let person = { sub: 'nobody' };

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: 'portal',
      client_secret: 'a secret that the two share, of forty letters',
      redirect_uris: [redirect],
    },
  ],
  claims: { openid: ['sub', 'amr'], profile: ['preferred_username', 'email', 'groups', 'realm'] },
  cookies: { keys: ['signs the cookies of one test'] },
  features: { devInteractions: { enabled: false } },
  findAccount: (_context, id) => ({
    accountId: id,
    claims: () => ({ ...person.claims, sub: id }),
  }),
  interactions: { url: (_context, interaction) => `/test/interaction/${interaction.uid}` },
  pkce: { required: () => true },
  // Consent is given beforehand.
  async loadExistingGrant(context) {
    const grant = new context.oidc.provider.Grant({
      clientId: context.oidc.client.clientId,
      accountId: context.oidc.session.accountId,
    });
    grant.addOIDCScope('openid profile');
    await grant.save();
    return grant;
  },
});

provider.use(async (context, next) => {
  if (context.path === '/test/person') {
    let body = '';
    for await (const chunk of context.req) body += chunk;
    person = JSON.parse(body);
    context.body = '';
  } else if (context.path.startsWith('/test/interaction/')) {
    const result = person.refuses
      ? { error: 'access_denied', error_description: 'not today' }
      : { login: { accountId: person.sub, amr: person.amr, remember: false } };
    await provider.interactionFinished(context.req, context.res, result);
    context.respond = false;
  } else {
    await next();
  }
});

provider.listen(Number(port), '127.0.0.1', () => console.log('ready'));
