// Signs in as a browser does: opens the page, fills in its form, keeps the cookie.

const cookieOf = (answer) =>
  answer.headers
    .getSetCookie()
    .map((line) => line.split(';')[0])
    .join('; ');

async function signIn(origin, [username, password]) {
  const page = await fetch(`${origin}/login`);
  const found = /name="csrf_token"[^>]*value="([^"]+)"/.exec(await page.text());
  if (!found) throw new Error(`no form: ${page.status}`);
  const answer = await fetch(`${origin}/login`, {
    method: 'POST',
    headers: { Cookie: cookieOf(page), Origin: origin },
    body: new URLSearchParams({ csrf_token: found[1], username, password }),
    redirect: 'manual',
  });
  await answer.text();
  if (answer.status !== 303) throw new Error(`${username} is not let in: ${answer.status}`);
  return cookieOf(answer);
}

export async function signInEach(origin, people) {
  const cookies = [];
  for (const person of people) cookies.push(await signIn(origin, person));
  return cookies;
}
