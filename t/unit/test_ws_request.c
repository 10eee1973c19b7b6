
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The opening handshake of WebSocket: what is accepted, and with which status
 * everything else is refused; origins.
 */

/* sources: wire/ngx_mqtt_ws_request.c */


#include "tap.h"
#include "bytes.h"
#include "ngx_mqtt_ws.h"


#define NL         "\r\n"
#define LINE       "GET /mqtt HTTP/1.1" NL
#define HOST       "Host: example.com" NL
#define UPGRADE    "Upgrade: websocket" NL "Connection: Upgrade" NL
#define KEY        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==" NL
#define VERSION    "Sec-WebSocket-Version: 13" NL
#define PROTOCOL   "Sec-WebSocket-Protocol: mqtt" NL
#define REST       HOST UPGRADE KEY VERSION
#define ALL        REST PROTOCOL


typedef struct {
    const char  *name;
    unsigned     status;       /* 0: malformed */
    const char  *path;
    const char  *protocol;
    const char  *text;
} row_t;


static row_t  rows[] = {
    { "a handshake", 101, "/mqtt", "mqtt", LINE ALL NL },
    { "in small letters", 101, "/mqtt", "mqtt",
      LINE "host: a" NL "upgrade: WebSocket" NL "connection: UPGRADE" NL
      "sec-websocket-key: AAAAAAAAAAAAAAAAAAAA+/==" NL
      "sec-websocket-version: 13" NL "sec-websocket-protocol: mqtt" NL NL },
    { "lists", 101, "/mqtt", "mqtt",
      LINE HOST "Upgrade: h2c, websocket" NL
      "Connection: keep-alive ,\tUpgrade" NL KEY VERSION
      "Sec-WebSocket-Protocol: chat,,mqtt , x" NL NL },
    { "lists in several headers", 101, "/mqtt", "mqtt",
      LINE HOST "Upgrade: h2c" NL "Upgrade: websocket" NL
      "Connection: keep-alive" NL "Connection: upgrade" NL KEY VERSION
      "Sec-WebSocket-Protocol: mqttv3.1" NL
      "Sec-WebSocket-Protocol: mqtt" NL NL },
    { "no blanks, and many", 101, "/mqtt", "mqtt",
      LINE "Host:example.com" NL UPGRADE
      "Sec-WebSocket-Key:\t dGhlIHNhbXBsZSBub25jZQ== \t" NL VERSION
      PROTOCOL NL },
    { "other headers", 101, "/mqtt", "mqtt",
      LINE ALL "Cookie: a=b; c=\"d\"" NL "X-Empty:" NL
      "User-Agent: \xc3\xa9" NL NL },
    { "mqttv3.1", 101, "/mqtt", "mqttv3.1",
      LINE REST "Sec-WebSocket-Protocol: mqttv3.1" NL NL },
    { "mqtt is chosen first", 101, "/mqtt", "mqtt",
      LINE REST "Sec-WebSocket-Protocol: mqttv3.1, mqtt" NL NL },
    { "and stays so", 101, "/mqtt", "mqtt",
      LINE REST "Sec-WebSocket-Protocol: mqtt, mqttv3.1" NL NL },
    { "arguments", 101, "/mqtt", "mqtt",
      "GET /mqtt?a=/b?c HTTP/1.1" NL ALL NL },
    { "an absolute URI", 101, "/mqtt", "mqtt",
      "GET http://example.com:80/mqtt?x HTTP/1.1" NL ALL NL },
    { "an absolute URI without a path", 101, "/", "mqtt",
      "GET http://example.com HTTP/1.1" NL ALL NL },
    { "only arguments", 101, "/", "mqtt",
      "GET http://example.com?x HTTP/1.1" NL ALL NL },
    { "no body", 101, "/mqtt", "mqtt",
      LINE ALL "Content-Length: 0" NL NL },
    { "HTTP/1.2", 101, "/mqtt", "mqtt",
      "GET /mqtt HTTP/1.2" NL ALL NL },

    { "a browser", 426, "/", NULL, "GET / HTTP/1.1" NL HOST NL },
    { "no Upgrade", 426, "/mqtt", NULL,
      LINE HOST "Connection: Upgrade" NL KEY VERSION PROTOCOL NL },
    { "another Upgrade", 426, "/mqtt", NULL,
      LINE HOST "Upgrade: websockets" NL "Connection: Upgrade" NL KEY VERSION
      PROTOCOL NL },
    { "no Connection", 426, "/mqtt", NULL,
      LINE HOST "Upgrade: websocket" NL KEY VERSION PROTOCOL NL },
    { "no version", 426, "/mqtt", NULL,
      LINE HOST UPGRADE KEY PROTOCOL NL },
    { "version 8", 426, "/mqtt", NULL,
      LINE HOST UPGRADE KEY PROTOCOL "Sec-WebSocket-Version: 8" NL NL },
    { "version 13, 8", 426, "/mqtt", NULL,
      LINE HOST UPGRADE KEY PROTOCOL "Sec-WebSocket-Version: 13, 8" NL NL },
    { "the version twice", 400, "/mqtt", NULL, LINE ALL VERSION NL },
    { "no key", 400, "/mqtt", NULL,
      LINE HOST UPGRADE VERSION PROTOCOL NL },
    { "the key twice", 400, "/mqtt", NULL, LINE ALL KEY NL },
    { "a short key", 400, "/mqtt", NULL,
      LINE HOST UPGRADE VERSION PROTOCOL
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j" NL NL },
    { "a key that is not base64", 400, "/mqtt", NULL,
      LINE HOST UPGRADE VERSION PROTOCOL
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!Q==" NL NL },
    { "a key without padding", 400, "/mqtt", NULL,
      LINE HOST UPGRADE VERSION PROTOCOL
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQA=" NL NL },
    { "no sub-protocol", 400, "/mqtt", NULL, LINE REST NL },
    { "another sub-protocol", 400, "/mqtt", NULL,
      LINE REST "Sec-WebSocket-Protocol: MQTT, mqttv3.1.1, mqttx" NL NL },
    { "Host twice", 400, "/mqtt", NULL, LINE ALL HOST NL },
    { "Origin twice", 400, "/mqtt", NULL,
      LINE ALL "Origin: http://a" NL "Origin: http://b" NL NL },
    { "a body", 400, "/mqtt", NULL,
      LINE ALL "Content-Length: 1" NL NL },
    { "a body in chunks", 400, "/mqtt", NULL,
      LINE ALL "Transfer-Encoding: chunked" NL NL },
    { "POST", 405, "/mqtt", NULL, "POST /mqtt HTTP/1.1" NL ALL NL },
    { "HEAD", 405, "/mqtt", NULL, "HEAD /mqtt HTTP/1.1" NL ALL NL },
    { "OPTIONS", 405, NULL, NULL, "OPTIONS * HTTP/1.1" NL ALL NL },
    { "CONNECT", 405, NULL, NULL, "CONNECT a:443 HTTP/1.1" NL ALL NL },
    { "HTTP/1.0", 505, "/mqtt", NULL, "GET /mqtt HTTP/1.0" NL ALL NL },
    { "HTTP/2.0", 505, "/mqtt", NULL, "GET /mqtt HTTP/2.0" NL ALL NL },

    { "no Host", 0, NULL, NULL,
      LINE UPGRADE KEY VERSION PROTOCOL NL },
    { "no version of HTTP", 0, NULL, NULL, "GET /mqtt" NL ALL NL },
    { "no HTTP", 0, NULL, NULL, "GET /mqtt HTTQ/1.1" NL ALL NL },
    { "HTTP/11.1", 0, NULL, NULL, "GET /mqtt HTTP/11.1" NL ALL NL },
    { "something behind it", 0, NULL, NULL,
      "GET /mqtt HTTP/1.1 " NL ALL NL },
    { "two blanks", 0, NULL, NULL, "GET  /mqtt HTTP/1.1" NL ALL NL },
    { "a small method", 0, NULL, NULL, "get /mqtt HTTP/1.1" NL ALL NL },
    { "no method", 0, NULL, NULL, " /mqtt HTTP/1.1" NL ALL NL },
    { "no target", 0, NULL, NULL, "GET  HTTP/1.1" NL ALL NL },
    { "GET *", 0, NULL, NULL, "GET * HTTP/1.1" NL ALL NL },
    { "a relative path", 0, NULL, NULL, "GET mqtt HTTP/1.1" NL ALL NL },
    { "a fragment", 0, NULL, NULL, "GET /mqtt#a HTTP/1.1" NL ALL NL },
    { "a control character in the target", 0, NULL, NULL,
      "GET /mq\x01tt HTTP/1.1" NL ALL NL },
    { "a byte over 0x7f in the target", 0, NULL, NULL,
      "GET /\xc3\xa9 HTTP/1.1" NL ALL NL },
    { "a line of LF", 0, NULL, NULL, LINE "A: b\n" ALL NL },
    { "a line of CR", 0, NULL, NULL, LINE "A: b\r" ALL NL },
    { "a folded header", 0, NULL, NULL, LINE ALL "A: b" NL " c" NL NL },
    { "a blank before the colon", 0, NULL, NULL, LINE ALL "A : b" NL NL },
    { "a blank before the name", 0, NULL, NULL, LINE " A: b" NL ALL NL },
    { "no colon", 0, NULL, NULL, LINE ALL "A" NL NL },
    { "no name", 0, NULL, NULL, LINE ALL ": b" NL NL },
    { "a bad character in a name", 0, NULL, NULL,
      LINE ALL "A(b): c" NL NL },
    { "a control character in a value", 0, NULL, NULL,
      LINE ALL "A: b\x01" NL NL },
    { "DEL in a value", 0, NULL, NULL, LINE ALL "A: b\x7f" NL NL },
    { "no end", 0, NULL, NULL, LINE ALL }
};


static int
str_is(ngx_str_t *s, const char *text)
{
    if (text == NULL) {
        return s->len == 0;
    }

    return s->len == strlen(text) && memcmp(s->data, text, s->len) == 0;
}


static void
test_row(row_t *row)
{
    u_char                 *p;
    size_t                  len, n;
    unsigned                status, bad;
    ngx_mqtt_ws_request_t   req;

    len = strlen(row->text);
    p = bytes_guard((u_char *) row->text, len);

    memset(&req, 0, sizeof(req));
    status = 0;

    if (ngx_mqtt_ws_parse_request(p, p + len, &req) == NGX_OK) {
        status = (unsigned) ngx_mqtt_ws_check_request(&req);
    }

    ok(status == row->status
       && (status == 0 || str_is(&req.path, row->path))
       && (row->protocol == NULL || str_is(&req.protocol, row->protocol))
       && (status == 101) == (req.problem == NULL),
       "%s: %u, %s", row->name, status, req.problem ? req.problem : "-");

    /* cut anywhere it is no request, and nothing behind it is read */

    bad = 0;

    for (n = 0; n < len; n++) {
        p = bytes_guard((u_char *) row->text, n);
        memset(&req, 0, sizeof(req));
        bad += (ngx_mqtt_ws_parse_request(p, p + n, &req) == NGX_OK);
    }

    ok(bad == 0, "%s: cut", row->name);
}


static void
test_len(void)
{
    size_t       len, n, seen;
    unsigned     bad;
    const char  *text = LINE HOST NL "behind it" NL NL;

    len = strlen(LINE HOST NL);
    bad = 0;

    for (n = 0; n <= strlen(text); n++) {
        for (seen = 0; seen <= n && seen < len; seen++) {
            bad += (ngx_mqtt_ws_request_len(bytes_guard((u_char *) text, n),
                                            seen, n)
                    != (n < len ? 0 : len));
        }
    }

    ok(bad == 0, "length of a request, however it comes");
}


static void
test_http(void)
{
    ok(ngx_mqtt_ws_is_http("GE"), "GET is HTTP");
    ok(ngx_mqtt_ws_is_http("PO"), "POST is HTTP");
    ok(!ngx_mqtt_ws_is_http("\x10\x41"), "CONNECT is not");
    ok(!ngx_mqtt_ws_is_http("G\x02"), "nor is a bad PUBACK");
    ok(!ngx_mqtt_ws_is_http("@A"), "nor a good one");
    ok(!ngx_mqtt_ws_is_http("[A") && !ngx_mqtt_ws_is_http("A["),
       "nor what follows the letters");
}


static ngx_str_t
str(const char *text)
{
    ngx_str_t  s;

    s.len = strlen(text);
    s.data = (u_char *) text;

    return s;
}


static void
test_origins(void)
{
    size_t     i;
    ngx_str_t  pattern, origin;

    static struct {
        const char  *pattern;
        const char  *origin;
        int          match;
    } matches[] = {
        { "https://a.example", "https://a.example", 1 },
        { "https://a.example", "https://A.Example", 1 },
        { "https://a.example", "http://a.example", 0 },
        { "https://a.example", "https://a.example:8443", 0 },
        { "https://a.example:8443", "https://a.example:8443", 1 },
        { "https://a.example", "https://xa.example", 0 },
        { "https://a.example", "https://a.example.org", 0 },
        { "https://a.example", "null", 0 },
        { "https://a.example", "", 0 },
        { "null", "null", 1 },
        { "https://*.example", "https://a.example", 1 },
        { "https://*.example", "https://b.a.EXAMPLE", 1 },
        { "https://*.example", "https://example", 0 },
        { "https://*.example", "https://.example", 0 },
        { "https://*.example", "http://a.example", 0 },
        { "https://*.example", "https://a.example:1", 0 },
        { "https://*.example:1", "https://a.example:1", 1 },
        { "https://*.example", "https://evil/.example", 0 },
        { "https://*.example", "https://evil:1.example", 0 },
        { "https://*.example", "https://evil?.example", 0 },
        { "https://*.example", "https://evil#.example", 0 },
        { "https://*.example", "https://a@b.example", 0 },
        { "https://*.example", "https://a b.example", 0 },
        { "https://*.example", "https://aexample", 0 }
    };

    static struct {
        const char  *pattern;
        int          valid;
    } patterns[] = {
        { "https://a", 1 }, { "http://a.b:80", 1 }, { "null", 1 },
        { "https://*.a", 1 }, { "https://[::1]:80", 1 },
        { "chrome-extension://a", 0 }, { "a.example", 0 }, { "*", 0 },
        { "https://", 0 }, { "https://*", 0 }, { "https://*.", 0 },
        { "https://*a.b", 0 }, { "https://a.*", 0 }, { "https://*.*.a", 0 },
        { "https://a/", 0 }, { "https://a?b", 0 }, { "HTTPS://a", 0 },
        { "https:/a", 0 }, { "", 0 }, { "nul", 0 }, { "https://a b", 0 }
    };

    static struct {
        const char  *origin;
        const char  *host;
        int          same;
    } hosts[] = {
        { "https://a.example", "a.example", 1 },
        { "http://A.example:8080", "a.Example:8080", 1 },
        { "https://a.example", "a.example:8080", 0 },
        { "https://a.example", "b.example", 0 },
        { "https://a.example", "", 0 },
        { "null", "null", 0 },
        { "", "", 0 }
    };

    for (i = 0; i < sizeof(matches) / sizeof(matches[0]); i++) {
        pattern = str(matches[i].pattern);
        origin = str(matches[i].origin);

        ok((int) ngx_mqtt_ws_origin_match(&pattern, &origin)
           == matches[i].match,
           "%s %s %s", matches[i].pattern,
           matches[i].match ? "is" : "is not", matches[i].origin);
    }

    for (i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        pattern = str(patterns[i].pattern);

        ok((ngx_mqtt_ws_check_origin_pattern(&pattern) == NGX_OK)
           == patterns[i].valid, "pattern \"%s\"", patterns[i].pattern);
    }

    for (i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        origin = str(hosts[i].origin);
        pattern = str(hosts[i].host);

        ok((int) ngx_mqtt_ws_origin_is_host(&origin, &pattern)
           == hosts[i].same, "%s at %s", hosts[i].origin, hosts[i].host);
    }
}


int
main(void)
{
    size_t  i;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        test_row(&rows[i]);
    }

    test_len();
    test_http();
    test_origins();

    return done_testing();
}
