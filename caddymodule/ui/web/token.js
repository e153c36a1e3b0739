// bare is the token in what people paste: a line of a header, quotes, a token
// that was wrapped.
export function bare(text) {
  return text.trim().replace(/^["']|["']$/g, '').replace(/^authorization\s*:\s*/i, '').replace(/^bearer\s+/i, '').replace(/\s+/g, '');
}
