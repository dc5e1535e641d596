// SPDX-License-Identifier: Apache-2.0
// What Node's parser (llhttp) reads: one JSON array of base64 streams on stdin, one JSON array
// on stdout, for each stream the whole requests in it as [method, url, body in base64].
'use strict';
const { HTTPParser, methods } = process.binding('http_parser');

const LENIENT = 0;

function read(stream) {
	const parser = new HTTPParser();
	const requests = [];
	let method, url, body, flushed = '';

	parser.initialize(HTTPParser.REQUEST, {}, 0, LENIENT);
	parser[HTTPParser.kOnHeaders] = (headers, u) => { flushed += u; };
	parser[HTTPParser.kOnHeadersComplete] = (major, minor, headers, m, u) => {
		method = methods[m];
		url = u === undefined ? flushed : u;
		flushed = '';
		body = [];
		return 0;
	};
	parser[HTTPParser.kOnBody] = (piece, at, size) => {
		body.push(Buffer.from(at === undefined ? piece : piece.subarray(at, at + size)));
	};
	parser[HTTPParser.kOnMessageComplete] = () => {
		flushed = ''; // trailers come with the target once more
		requests.push([method, url, Buffer.concat(body).toString('base64')]);
	};
	parser.execute(stream); // an Error that is returned ends the stream
	return requests;
}

let text = '';
process.stdin.setEncoding('latin1');
process.stdin.on('data', (piece) => { text += piece; });
process.stdin.on('end', () => {
	const streams = JSON.parse(text).map((s) => Buffer.from(s, 'base64'));
	process.stdout.write(JSON.stringify(streams.map(read)));
});
