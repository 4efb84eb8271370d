/**
 * Whether a client's certificate lets it in, asked again at each request: a connection that was made under an
 * older file obeys the newer one. The handshake has already turned away most who fail.
 */
import { isIP, SocketAddress } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { TlsConfig } from './parse.ts';

/** Undefined: let in. Else why not, in words for the client. `socket` may be HTTP/2's stand-in for one. */
export function clientCertificateProblem(config: TlsConfig, socket: TLSSocket): string | undefined {
  const type = config.clientAuthType;
  if (type === 'NoClientCert' || type === 'RequestClientCert') return undefined;
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) {
    return type === 'VerifyClientCertIfGiven' ? undefined : 'a client certificate is needed';
  }
  if (type === 'RequireAnyClientCert') return undefined;
  if (!socket.authorized)
    return 'the client certificate was not issued by the configured authority, or is not valid now';
  const allowed = config.clientAllowedSans;
  if (allowed.length === 0) return undefined;
  const names = new Set(subjectAlternativeNames(certificate.subjectAltName ?? ''));
  return allowed.some((name) => names.has(canonical(name)))
    ? undefined
    : 'the client certificate holds none of the allowed subject alternative names';
}

/**
 * The values in `DNS:a.example, IP Address:192.0.2.1, URI:spiffe://a/b, email:c@d`. Node writes a value that
 * holds a comma or a quote as a JSON string (CVE-2021-44532), so that no value can pass for two.
 */
export function subjectAlternativeNames(text: string): string[] {
  const entry = /(DNS|IP Address|URI|email):("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)|[^,]*(?:, |$)/gy;
  const names: string[] = [];
  for (const [whole, kind, value] of text.matchAll(entry)) {
    if (whole === '') break;
    if (kind === undefined || value === undefined) continue;
    const name = value.startsWith('"') ? unquote(value) : value;
    if (name !== undefined) names.push(kind === 'IP Address' ? canonical(name) : name);
  }
  return names;
}

function unquote(json: string): string | undefined {
  try {
    return String(JSON.parse(json));
  } catch {
    return undefined;
  }
}

/** One way of writing each address; any other text as it is. */
function canonical(name: string): string {
  const family = isIP(name);
  if (family === 0) return name;
  return new SocketAddress({ address: name, family: family === 6 ? 'ipv6' : 'ipv4' }).address;
}
