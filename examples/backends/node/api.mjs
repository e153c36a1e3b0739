// The smallest legacy API in Node, without dependencies: it answers with what it
// believes about the user, and knows nothing of tokens.
import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';

const { GATEWAY_SECRET = '', CERTS = '', LISTEN = '127.0.0.1:9000' } = process.env; // never 0.0.0.0

// The default form. decodeURIComponent leaves + alone; URLSearchParams would
// make a blank of it, and unescape() knows no UTF-8.
const text = (value) => (value ? decodeURIComponent(value) : null);

// join: split first, decode each element then.
const list = (value) => (value ? value.split(',').map(decodeURIComponent) : null);

const json = (value) => (value ? JSON.parse(value) : null);

const fromBase64url = (value) => (value ? Buffer.from(value, 'base64url').toString('utf8') : null);

// The utf8 form. Node reads headers as Latin-1: take the bytes back.
const utf8 = (value) => (value ? Buffer.from(value, 'latin1').toString('utf8') : null);

function believe(headers) {
	const verified = headers['x-user-verified'];
	return {
		id: text(headers['x-user-id']),
		name: text(headers['x-user-name']),
		account: text(headers['x-user-account']), // digits; Number would round them
		verified: verified === undefined ? null : verified === 'true',
		roles: list(headers['x-user-roles']),
		groups: json(headers['x-user-groups']),
		profile: fromBase64url(headers['x-user-profile']),
		city: utf8(headers['x-user-city']),
	};
}

// timingSafeEqual wants equal lengths, which digests have.
const digest = (s) => createHash('sha256').update(s).digest();

function fromGateway(req) {
	if (CERTS) return true; // the handshake asked for the gateway's certificate
	return timingSafeEqual(digest(req.headers['x-gateway-secret'] ?? ''), digest(GATEWAY_SECRET));
}

function api(req, res) {
	if (!fromGateway(req)) {
		res.writeHead(403, { 'Content-Type': 'text/plain' }).end('not through the gateway\n');
		return;
	}
	res.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(believe(req.headers)));
}

if (!GATEWAY_SECRET && !CERTS) {
	console.error('set GATEWAY_SECRET, or CERTS for a client certificate: without either, anybody who reaches this port is whom they say');
	process.exit(1);
}
const server = CERTS
	? https.createServer({
			cert: readFileSync(`${CERTS}/api.pem`),
			key: readFileSync(`${CERTS}/api.key`),
			ca: readFileSync(`${CERTS}/ca.pem`),
			requestCert: true,
			rejectUnauthorized: true,
		}, api)
	: http.createServer(api);
const colon = LISTEN.lastIndexOf(':');
server.listen(Number(LISTEN.slice(colon + 1)), LISTEN.slice(0, colon));
