
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The opening handshake: a request of HTTP/1.1, RFC 6455, 4.2.1, with the
 * grammar of RFC 9112.  The interface is in ngx_mqtt_ws.h.
 *
 * (1) A line ends with CRLF, no header is folded: what is tolerated here and
 *     read in another way by a proxy in front would be a hole.
 * (2) ngx_mqtt_ws_check_request() looks at the fields only, so that requests
 *     that nginx has parsed are judged in the same way.
 */


#include "ngx_mqtt_ws.h"


typedef void (*ngx_mqtt_ws_header_pt)(ngx_mqtt_ws_request_t *req,
    ngx_str_t *value);


typedef struct {
    ngx_str_t               name;
    ngx_mqtt_ws_header_pt   handler;
} ngx_mqtt_ws_header_t;


static u_char *ngx_mqtt_ws_parse_line(u_char *p, u_char *end,
    ngx_mqtt_ws_request_t *req);
static ngx_int_t ngx_mqtt_ws_parse_target(ngx_mqtt_ws_request_t *req,
    u_char *p, u_char *end);
static u_char *ngx_mqtt_ws_parse_header(u_char *p, u_char *end,
    ngx_mqtt_ws_request_t *req);
static ngx_uint_t ngx_mqtt_ws_is_token(u_char c);
static ngx_uint_t ngx_mqtt_ws_next_element(ngx_str_t *list,
    ngx_str_t *element);
static ngx_uint_t ngx_mqtt_ws_has_element(ngx_str_t *list,
    const char *element);
static void ngx_mqtt_ws_set_once(ngx_mqtt_ws_request_t *req, ngx_str_t *s,
    ngx_str_t *value);
static void ngx_mqtt_ws_header_host(ngx_mqtt_ws_request_t *req,
    ngx_str_t *value);
static void ngx_mqtt_ws_header_upgrade(ngx_mqtt_ws_request_t *req,
    ngx_str_t *value);
static void ngx_mqtt_ws_header_connection(ngx_mqtt_ws_request_t *req,
    ngx_str_t *value);
static void ngx_mqtt_ws_header_key(ngx_mqtt_ws_request_t *req,
    ngx_str_t *value);
static void ngx_mqtt_ws_header_version(ngx_mqtt_ws_request_t *req,
    ngx_str_t *value);
static void ngx_mqtt_ws_header_protocol(ngx_mqtt_ws_request_t *req,
    ngx_str_t *value);
static void ngx_mqtt_ws_header_origin(ngx_mqtt_ws_request_t *req,
    ngx_str_t *value);
static void ngx_mqtt_ws_header_length(ngx_mqtt_ws_request_t *req,
    ngx_str_t *value);
static void ngx_mqtt_ws_header_encoding(ngx_mqtt_ws_request_t *req,
    ngx_str_t *value);
static ngx_uint_t ngx_mqtt_ws_key_is_valid(ngx_str_t *key);
static u_char *ngx_mqtt_ws_origin_host(ngx_str_t *origin);


static ngx_mqtt_ws_header_t  ngx_mqtt_ws_headers[] = {
    { ngx_string("Host"), ngx_mqtt_ws_header_host },
    { ngx_string("Upgrade"), ngx_mqtt_ws_header_upgrade },
    { ngx_string("Connection"), ngx_mqtt_ws_header_connection },
    { ngx_string("Sec-WebSocket-Key"), ngx_mqtt_ws_header_key },
    { ngx_string("Sec-WebSocket-Version"), ngx_mqtt_ws_header_version },
    { ngx_string("Sec-WebSocket-Protocol"), ngx_mqtt_ws_header_protocol },
    { ngx_string("Origin"), ngx_mqtt_ws_header_origin },
    { ngx_string("Content-Length"), ngx_mqtt_ws_header_length },
    { ngx_string("Transfer-Encoding"), ngx_mqtt_ws_header_encoding },
    { ngx_null_string, NULL }
};


/* [MQTT-6.0.0-3]; the second one is what clients of MQTT 3.1 offer */

static ngx_str_t  ngx_mqtt_ws_protocols[] = {
    ngx_string("mqtt"),
    ngx_string("mqttv3.1"),
    ngx_null_string
};


size_t
ngx_mqtt_ws_request_len(u_char *p, size_t seen, size_t len)
{
    size_t  i;

    /* the end may have been cut */

    for (i = (seen < 3) ? 3 : seen; i < len; i++) {

        if (p[i] == LF && p[i - 1] == CR && p[i - 2] == LF
            && p[i - 3] == CR)
        {
            return i + 1;
        }
    }

    return 0;
}


ngx_int_t
ngx_mqtt_ws_parse_request(u_char *p, u_char *end, ngx_mqtt_ws_request_t *req)
{
    p = ngx_mqtt_ws_parse_line(p, end, req);

    if (p == NULL) {
        req->problem = "the request line is malformed";
        return NGX_ERROR;
    }

    while (end - p > 2) {
        p = ngx_mqtt_ws_parse_header(p, end, req);

        if (p == NULL) {
            req->problem = "a header line is malformed";
            return NGX_ERROR;
        }
    }

    if (end - p != 2 || p[0] != CR || p[1] != LF) {
        req->problem = "a header line is malformed";
        return NGX_ERROR;
    }

    if (req->host.data == NULL) {
        req->problem = "the Host header is missing";
        return NGX_ERROR;
    }

    return NGX_OK;
}


static u_char *
ngx_mqtt_ws_parse_line(u_char *p, u_char *end, ngx_mqtt_ws_request_t *req)
{
    u_char  *start, *method;

    method = p;

    while (p < end && ngx_mqtt_ws_is_upper(*p)) {
        p++;
    }

    if (p == method || p == end || *p != ' ') {
        return NULL;
    }

    req->get = (p - method == 3 && ngx_memcmp(method, "GET", 3) == 0);

    start = ++p;

    while (p < end && *p > ' ' && *p < 0x7f) {
        p++;
    }

    if (p == end || *p != ' '
        || ngx_mqtt_ws_parse_target(req, start, p) != NGX_OK)
    {
        return NULL;
    }

    p++;

    if (end - p < 10 || ngx_memcmp(p, "HTTP/", 5) != 0
        || p[5] < '0' || p[5] > '9' || p[6] != '.'
        || p[7] < '0' || p[7] > '9' || p[8] != CR || p[9] != LF)
    {
        return NULL;
    }

    req->http_1_1 = (p[5] == '1' && p[7] >= '1');

    return p + 10;
}


/* "/path?arguments", or a whole URI as it is sent to a proxy */

static ngx_int_t
ngx_mqtt_ws_parse_target(ngx_mqtt_ws_request_t *req, u_char *p, u_char *end)
{
    ngx_str_t  uri;

    uri.data = p;
    uri.len = end - p;

    if (uri.len && *p != '/') {
        p = ngx_mqtt_ws_origin_host(&uri);

        if (p == NULL) {

            /* "*" of OPTIONS, "host:port" of CONNECT: never a GET */

            return req->get ? NGX_ERROR : NGX_OK;
        }

        while (p < end && *p != '/' && *p != '?') {
            p++;
        }
    }

    req->path.data = p;

    while (p < end && *p != '?') {

        if (*p == '#') {
            return NGX_ERROR;
        }

        p++;
    }

    req->path.len = p - req->path.data;

    if (req->path.len == 0) {
        ngx_str_set(&req->path, "/");
    }

    return uri.len ? NGX_OK : NGX_ERROR;
}


static u_char *
ngx_mqtt_ws_parse_header(u_char *p, u_char *end, ngx_mqtt_ws_request_t *req)
{
    ngx_str_t  name, value;

    name.data = p;

    while (p < end && ngx_mqtt_ws_is_token(*p)) {
        p++;
    }

    name.len = p - name.data;

    if (name.len == 0 || p == end || *p != ':') {
        return NULL;
    }

    p++;

    while (p < end && (*p == ' ' || *p == '\t')) {
        p++;
    }

    value.data = p;

    while (p < end && (*p >= ' ' || *p == '\t') && *p != 0x7f) {
        p++;
    }

    if (end - p < 2 || p[0] != CR || p[1] != LF) {
        return NULL;
    }

    value.len = p - value.data;

    while (value.len && (value.data[value.len - 1] == ' '
                         || value.data[value.len - 1] == '\t'))
    {
        value.len--;
    }

    ngx_mqtt_ws_request_header(req, &name, &value);

    return p + 2;
}


static ngx_uint_t
ngx_mqtt_ws_is_token(u_char c)
{
    if ((c >= 'a' && c <= 'z') || ngx_mqtt_ws_is_upper(c)
        || (c >= '0' && c <= '9'))
    {
        return 1;
    }

    return c > ' ' && c < 0x7f
           && memchr("\"(),/:;<=>?@[\\]{}", c, 17) == NULL;
}


void
ngx_mqtt_ws_request_header(ngx_mqtt_ws_request_t *req, ngx_str_t *name,
    ngx_str_t *value)
{
    ngx_mqtt_ws_header_t  *h;

    for (h = ngx_mqtt_ws_headers; h->name.len; h++) {

        if (h->name.len == name->len
            && ngx_strncasecmp(h->name.data, name->data, name->len) == 0)
        {
            h->handler(req, value);
            return;
        }
    }
}


/* the next one of "a, b,c", which may be empty */

static ngx_uint_t
ngx_mqtt_ws_next_element(ngx_str_t *list, ngx_str_t *element)
{
    u_char  *p, *end, *comma;

    if (list->len == 0) {
        return 0;
    }

    p = list->data;
    end = p + list->len;

    comma = ngx_strlchr(p, end, ',');

    list->data = comma ? comma + 1 : end;
    list->len = end - list->data;

    end = comma ? comma : end;

    while (p < end && (*p == ' ' || *p == '\t')) {
        p++;
    }

    while (p < end && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }

    element->data = p;
    element->len = end - p;

    return 1;
}


static ngx_uint_t
ngx_mqtt_ws_has_element(ngx_str_t *list, const char *element)
{
    size_t     len;
    ngx_str_t  rest, s;

    rest = *list;
    len = ngx_strlen(element);

    while (ngx_mqtt_ws_next_element(&rest, &s)) {

        if (s.len == len
            && ngx_strncasecmp(s.data, (u_char *) element, len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


static void
ngx_mqtt_ws_set_once(ngx_mqtt_ws_request_t *req, ngx_str_t *s,
    ngx_str_t *value)
{
    if (s->data) {
        req->repeated = 1;
    }

    *s = *value;
}


static void
ngx_mqtt_ws_header_host(ngx_mqtt_ws_request_t *req, ngx_str_t *value)
{
    ngx_mqtt_ws_set_once(req, &req->host, value);
}


static void
ngx_mqtt_ws_header_upgrade(ngx_mqtt_ws_request_t *req, ngx_str_t *value)
{
    if (ngx_mqtt_ws_has_element(value, "websocket")) {
        req->upgrade = 1;
    }
}


static void
ngx_mqtt_ws_header_connection(ngx_mqtt_ws_request_t *req, ngx_str_t *value)
{
    if (ngx_mqtt_ws_has_element(value, "upgrade")) {
        req->connection = 1;
    }
}


static void
ngx_mqtt_ws_header_key(ngx_mqtt_ws_request_t *req, ngx_str_t *value)
{
    ngx_mqtt_ws_set_once(req, &req->key, value);
}


static void
ngx_mqtt_ws_header_version(ngx_mqtt_ws_request_t *req, ngx_str_t *value)
{
    if (req->has_version) {
        req->repeated = 1;
    }

    req->has_version = 1;
    req->version = (value->len == 2 && ngx_memcmp(value->data, "13", 2) == 0);
}


/* the first of ours that is offered anywhere */

static void
ngx_mqtt_ws_header_protocol(ngx_mqtt_ws_request_t *req, ngx_str_t *value)
{
    ngx_str_t   rest, s;
    ngx_uint_t  i;

    rest = *value;

    while (ngx_mqtt_ws_next_element(&rest, &s)) {

        for (i = 0; ngx_mqtt_ws_protocols[i].len; i++) {

            if (req->protocol.data == ngx_mqtt_ws_protocols[i].data) {
                break;
            }

            if (s.len == ngx_mqtt_ws_protocols[i].len
                && ngx_memcmp(s.data, ngx_mqtt_ws_protocols[i].data, s.len)
                   == 0)
            {
                req->protocol = ngx_mqtt_ws_protocols[i];
                break;
            }
        }
    }
}


static void
ngx_mqtt_ws_header_origin(ngx_mqtt_ws_request_t *req, ngx_str_t *value)
{
    ngx_mqtt_ws_set_once(req, &req->origin, value);
}


static void
ngx_mqtt_ws_header_length(ngx_mqtt_ws_request_t *req, ngx_str_t *value)
{
    if (value->len != 1 || value->data[0] != '0') {
        req->body = 1;
    }
}


static void
ngx_mqtt_ws_header_encoding(ngx_mqtt_ws_request_t *req, ngx_str_t *value)
{
    req->body = 1;
}


ngx_uint_t
ngx_mqtt_ws_check_request(ngx_mqtt_ws_request_t *req)
{
    if (req->repeated) {
        req->problem = "a header is repeated";
        return 400;
    }

    if (!req->get) {
        req->problem = "the method is not GET";
        return 405;
    }

    if (!req->http_1_1) {
        req->problem = "WebSocket needs HTTP/1.1";
        return 505;
    }

    if (req->body) {
        req->problem = "the request has a body";
        return 400;
    }

    if (!req->upgrade || !req->connection) {
        req->problem = "it is no WebSocket handshake";
        return 426;
    }

    if (!req->version) {
        req->problem = "Sec-WebSocket-Version is not 13";
        return 426;
    }

    if (!ngx_mqtt_ws_key_is_valid(&req->key)) {
        req->problem = "Sec-WebSocket-Key is not valid";
        return 400;
    }

    if (req->protocol.len == 0) {
        req->problem = "Sec-WebSocket-Protocol does not offer mqtt";
        return 400;
    }

    return 101;
}


/* 16 bytes in base64 */

static ngx_uint_t
ngx_mqtt_ws_key_is_valid(ngx_str_t *key)
{
    u_char  c;
    size_t  i;

    if (key->len != NGX_MQTT_WS_KEY_LEN) {
        return 0;
    }

    for (i = 0; i < NGX_MQTT_WS_KEY_LEN - 2; i++) {
        c = key->data[i];

        if (!(c >= 'a' && c <= 'z') && !ngx_mqtt_ws_is_upper(c)
            && !(c >= '0' && c <= '9') && c != '+' && c != '/')
        {
            return 0;
        }
    }

    return key->data[i] == '=' && key->data[i + 1] == '=';
}


/* what stands behind "scheme://", or NULL */

static u_char *
ngx_mqtt_ws_origin_host(ngx_str_t *origin)
{
    u_char  *p, *end;

    if (origin->len == 0) {
        return NULL;
    }

    p = origin->data;
    end = p + origin->len;

    while (p < end && *p >= 'a' && *p <= 'z') {
        p++;
    }

    if (p == origin->data || end - p < 4 || ngx_memcmp(p, "://", 3) != 0) {
        return NULL;
    }

    return p + 3;
}


ngx_int_t
ngx_mqtt_ws_check_origin_pattern(ngx_str_t *pattern)
{
    u_char  *p, *end;

    if (pattern->len == 4 && ngx_memcmp(pattern->data, "null", 4) == 0) {
        return NGX_OK;
    }

    p = ngx_mqtt_ws_origin_host(pattern);

    if (p == NULL) {
        return NGX_ERROR;
    }

    end = pattern->data + pattern->len;

    if (*p == '*') {
        if (end - p < 3 || p[1] != '.') {
            return NGX_ERROR;
        }

        p += 2;
    }

    for ( /* void */ ; p < end; p++) {

        if (*p <= ' ' || *p >= 0x7f || memchr("*/?#@\\", *p, 6)) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_uint_t
ngx_mqtt_ws_origin_match(ngx_str_t *pattern, ngx_str_t *origin)
{
    size_t   head, tail;
    u_char  *p, *last;

    p = ngx_mqtt_ws_origin_host(pattern);

    if (p == NULL || *p != '*') {
        return pattern->len == origin->len
               && ngx_strncasecmp(pattern->data, origin->data, origin->len)
                  == 0;
    }

    head = p - pattern->data;
    tail = pattern->len - head - 1;

    if (origin->len <= head + tail
        || ngx_strncasecmp(pattern->data, origin->data, head) != 0
        || ngx_strncasecmp(p + 1, origin->data + origin->len - tail, tail)
           != 0)
    {
        return 0;
    }

    /* labels of a name in place of the asterisk */

    p = origin->data + head;
    last = origin->data + origin->len - tail;

    while (p < last && *p > ' ' && *p < 0x7f
           && memchr("/:?#@\\", *p, 6) == NULL)
    {
        p++;
    }

    return p == last;
}


ngx_uint_t
ngx_mqtt_ws_origin_is_host(ngx_str_t *origin, ngx_str_t *host)
{
    u_char  *p;
    size_t   len;

    p = ngx_mqtt_ws_origin_host(origin);

    if (p == NULL) {
        return 0;
    }

    len = origin->data + origin->len - p;

    return len == host->len && ngx_strncasecmp(p, host->data, len) == 0;
}
