// Asking the gateway, through the command that serves this page.

export class Problem extends Error {
  constructor(code, text, status = 0, body = null) {
    super(text);
    Object.assign(this, { code, status, body });
  }
}

// ask sends a request and returns what came as JSON, null for nothing.
export async function ask(method, path, body, seconds = 70) {
  let response;
  let text;
  try {
    response = await fetch('api/' + path, {
      method,
      headers: { 'X-Jwtgate-Page': '1', ...(body === undefined ? {} : { 'Content-Type': 'application/json' }) },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(seconds * 1000),
      cache: 'no-store', credentials: 'omit', redirect: 'error', referrerPolicy: 'no-referrer',
    });
    text = await response.text();
  } catch (e) {
    if (e.name === 'TimeoutError') throw new Problem('timeout', 'There was no answer within ' + seconds + ' seconds.');
    throw new Problem('page_gone', 'The command that serves this page does not answer.');
  }
  let value = null;
  try {
    if (text) value = JSON.parse(text);
  } catch {
    throw new Problem('not_a_gateway', 'The answer could not be read.', response.status);
  }
  if (response.ok) return value;
  throw new Problem(value?.code || 'unknown', words(value, response.status), response.status, value);
}

// words are what a refusal says: its title, its detail and each mistake.
function words(problem, status) {
  if (!problem) return 'The answer was ' + status + '.';
  const lines = [problem.title, problem.detail].filter(Boolean).join(': ').split('\n');
  for (const fault of problem.errors || []) lines.push((fault.field ? fault.field + ': ' : '') + fault.detail);
  return lines.join('\n');
}
