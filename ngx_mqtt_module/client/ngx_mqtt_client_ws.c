
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * MQTT over WebSocket (6): the transport between the socket and the framing
 * of MQTT.
 *
 * (1) A client is one of WebSocket if mc->ws is there.  On a listener that is
 *     found out from its first two bytes, see ngx_mqtt_ws_is_http(); a
 *     location of http makes it so before it starts.
 * (2) What is received is unwrapped in its place, before anything of MQTT
 *     looks at it; a rest of a frame stays in the socket or is payload.  An
 *     idle client keeps a reader of 48 bytes and no buffer.
 * (3) Output is one binary frame per flush.  Room for its head stands in
 *     front of the first piece; the head is written when the length is known,
 *     by ngx_mqtt_client_ws_seal().  Control frames go between frames.
 * (4) Behind a Close frame, or an error, nothing is read.  What came before is
 *     handled first, even if it has to wait.
 * (5) We are the server, so it is us who close the connection (RFC 6455,
 *     7.1.1): our side is shut down behind our Close frame, and what the peer
 *     still says, its Close frame included, is read and thrown away.
 *
 * Called from: ngx_mqtt_client.c, ngx_mqtt_client_read.c and
 * ngx_mqtt_client_write.c; http/ (open).
 */


#include "ngx_mqtt_client.h"

#include <ngx_sha1.h>


#define NGX_MQTT_WS_MIN_REQUEST  1024
#define NGX_MQTT_WS_MAX_REQUEST  16384


static ngx_int_t ngx_mqtt_client_ws_keep_request(ngx_mqtt_client_t *mc,
    u_char *p, size_t len);
static ngx_int_t ngx_mqtt_client_ws_handshake(ngx_mqtt_client_t *mc,
    u_char *p, size_t len);
static ngx_int_t ngx_mqtt_client_ws_accept(ngx_mqtt_client_t *mc,
    ngx_mqtt_ws_request_t *req);
static ngx_int_t ngx_mqtt_client_ws_refuse(ngx_mqtt_client_t *mc,
    ngx_uint_t status, const char *problem);
static void ngx_mqtt_client_ws_control(ngx_mqtt_client_t *mc);
static void ngx_mqtt_client_ws_send_control(ngx_mqtt_client_t *mc,
    ngx_uint_t opcode, u_char *payload, size_t len);
static ngx_uint_t ngx_mqtt_client_ws_code(ngx_uint_t reason);


typedef struct {
    ngx_uint_t   status;
    ngx_str_t    line;
    ngx_str_t    headers;
} ngx_mqtt_client_ws_status_t;


static ngx_mqtt_client_ws_status_t  ngx_mqtt_client_ws_statuses[] = {

    { 403, ngx_string("403 Forbidden"),
      ngx_string("Connection: close" CRLF) },

    { 404, ngx_string("404 Not Found"),
      ngx_string("Connection: close" CRLF) },

    { 405, ngx_string("405 Not Allowed"),
      ngx_string("Connection: close" CRLF
                 "Allow: GET" CRLF) },

    { 426, ngx_string("426 Upgrade Required"),
      ngx_string("Connection: Upgrade, close" CRLF
                 "Upgrade: websocket" CRLF
                 "Sec-WebSocket-Version: 13" CRLF) },

    { 431, ngx_string("431 Request Header Fields Too Large"),
      ngx_string("Connection: close" CRLF) },

    { 505, ngx_string("505 HTTP Version Not Supported"),
      ngx_string("Connection: close" CRLF) },

    /* the last one is taken for all others */

    { 400, ngx_string("400 Bad Request"),
      ngx_string("Connection: close" CRLF) }
};


ngx_int_t
ngx_mqtt_client_ws_detected(ngx_mqtt_client_t *mc, u_char *p, u_char *end)
{
    ngx_log_debug0(NGX_LOG_DEBUG_STREAM, mc->connection->log, 0,
                   "mqtt websocket detected");

    mc->ws = ngx_mqtt_calloc(mc->worker, sizeof(ngx_mqtt_client_ws_t));

    if (mc->ws == NULL
        || ngx_mqtt_client_ws_keep_request(mc, p, end - p) != NGX_OK)
    {
        ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
        return NGX_ERROR;
    }

    mc->connection->log->action = "reading WebSocket handshake";

    return ngx_mqtt_client_ws_request(mc);
}


/* the bytes of a request, with room for as many again unless it is too long */

static ngx_int_t
ngx_mqtt_client_ws_keep_request(ngx_mqtt_client_t *mc, u_char *p, size_t len)
{
    size_t           size;
    ngx_mqtt_msg_t  *m;

    size = len;

    if (len < NGX_MQTT_WS_MAX_REQUEST) {
        size = ngx_max(2 * len, NGX_MQTT_WS_MIN_REQUEST);
    }

    m = ngx_mqtt_msg_create(mc->worker, size);
    if (m == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(ngx_mqtt_msg_data(m), p, len);

    if (mc->in.block) {
        ngx_mqtt_msg_unref(mc->in.block);

    } else {
        mc->in.pos = 0;
    }

    mc->in.block = m;
    mc->in.last = len;
    mc->in.packet = size;

    return NGX_OK;
}


ngx_int_t
ngx_mqtt_client_ws_request(ngx_mqtt_client_t *mc)
{
    size_t          len;
    u_char         *data;
    ngx_int_t       n;
    ngx_mqtt_in_t  *in;

    in = &mc->in;
    data = ngx_mqtt_msg_data(in->block);

    len = ngx_mqtt_ws_request_len(data, in->pos, in->last);
    in->pos = in->last;

    if (len > NGX_MQTT_WS_MAX_REQUEST
        || (len == 0 && in->last >= NGX_MQTT_WS_MAX_REQUEST))
    {
        return ngx_mqtt_client_ws_refuse(mc, 431, "the request is too large");
    }

    if (len == 0) {

        if (in->last == in->packet
            && ngx_mqtt_client_ws_keep_request(mc, data, in->last) != NGX_OK)
        {
            ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
            return NGX_ERROR;
        }

        return NGX_OK;
    }

    if (ngx_mqtt_client_ws_handshake(mc, data, len) != NGX_OK) {
        return NGX_ERROR;
    }

    /* frames behind it: from here on the block holds what was kept */

    n = ngx_mqtt_client_ws_unwrap(mc, data + len, in->last - len);

    if (n == NGX_ERROR) {
        return NGX_ERROR;
    }

    in->packet = 0;
    in->pos = len;
    in->last = len + n;

    if (n == 0) {
        ngx_mqtt_msg_unref(in->block);
        in->block = NULL;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_client_ws_handshake(ngx_mqtt_client_t *mc, u_char *p, size_t len)
{
    ngx_uint_t              status;
    ngx_mqtt_ws_request_t   req;

    ngx_memzero(&req, sizeof(ngx_mqtt_ws_request_t));

    if (ngx_mqtt_ws_parse_request(p, p + len, &req) != NGX_OK) {
        return ngx_mqtt_client_ws_refuse(mc, 400, req.problem);
    }

    if (req.get
        && (req.path.len != mc->conf->websocket_path.len
            || ngx_memcmp(req.path.data, mc->conf->websocket_path.data,
                          req.path.len) != 0))
    {
        return ngx_mqtt_client_ws_refuse(mc, 404, "there is no such path");
    }

    status = ngx_mqtt_ws_check_request(&req);

    if (status != 101) {
        return ngx_mqtt_client_ws_refuse(mc, status, req.problem);
    }

    if (!ngx_mqtt_client_ws_origin_allowed(mc->conf, &req)) {
        return ngx_mqtt_client_ws_refuse(mc, 403,
                                         "the origin is not allowed");
    }

    return ngx_mqtt_client_ws_accept(mc, &req);
}


/* clients that are no browsers send no Origin, and could send any */

ngx_uint_t
ngx_mqtt_client_ws_origin_allowed(ngx_mqtt_client_conf_t *conf,
    ngx_mqtt_ws_request_t *req)
{
    ngx_str_t   *origin;
    ngx_uint_t   i;

    if (conf->websocket_origins == NULL || req->origin.data == NULL) {
        return 1;
    }

    origin = conf->websocket_origins->elts;

    for (i = 0; i < conf->websocket_origins->nelts; i++) {

        if (ngx_strcmp(origin[i].data, "same") == 0) {

            if (ngx_mqtt_ws_origin_is_host(&req->origin, &req->host)) {
                return 1;
            }

            continue;
        }

        if (ngx_mqtt_ws_origin_match(&origin[i], &req->origin)) {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_mqtt_client_ws_accept(ngx_mqtt_client_t *mc, ngx_mqtt_ws_request_t *req)
{
    size_t   len;
    u_char  *p, key[NGX_MQTT_CLIENT_WS_ACCEPT_LEN];

    static char  head[] = "HTTP/1.1 101 Switching Protocols" CRLF
                          "Upgrade: websocket" CRLF
                          "Connection: Upgrade" CRLF
                          "Sec-WebSocket-Accept: ";
    static char  protocol[] = CRLF "Sec-WebSocket-Protocol: ";

    ngx_mqtt_client_ws_accept_key(key, &req->key);

    len = sizeof(head) - 1 + sizeof(key) + sizeof(protocol) - 1
          + req->protocol.len + 4;

    p = ngx_mqtt_client_raw(mc, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(p, head, sizeof(head) - 1);
    p = ngx_cpymem(p, key, sizeof(key));
    p = ngx_cpymem(p, protocol, sizeof(protocol) - 1);
    p = ngx_cpymem(p, req->protocol.data, req->protocol.len);
    (void) ngx_cpymem(p, CRLF CRLF, 4);

    mc->connection->log->action = "waiting for CONNECT";

    return ngx_mqtt_client_ws_open(mc);
}


/* 4.2.2: the SHA-1 of the key and a constant */

void
ngx_mqtt_client_ws_accept_key(u_char *dst, ngx_str_t *key)
{
    u_char      digest[20];
    ngx_str_t   src, out;
    ngx_sha1_t  sha1;

    static char  guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

    ngx_sha1_init(&sha1);
    ngx_sha1_update(&sha1, key->data, key->len);
    ngx_sha1_update(&sha1, guid, sizeof(guid) - 1);
    ngx_sha1_final(digest, &sha1);

    src.len = sizeof(digest);
    src.data = digest;
    out.data = dst;

    ngx_encode_base64(&out, &src);
}


ngx_int_t
ngx_mqtt_client_ws_open(ngx_mqtt_client_t *mc)
{
    if (mc->ws == NULL) {
        mc->ws = ngx_mqtt_calloc(mc->worker, sizeof(ngx_mqtt_client_ws_t));

        if (mc->ws == NULL) {
            return NGX_ERROR;
        }
    }

    mc->ws->open = 1;
    ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_websockets);

    return NGX_OK;
}


/* an answer that a person with a browser understands, then the end */

static ngx_int_t
ngx_mqtt_client_ws_refuse(ngx_mqtt_client_t *mc, ngx_uint_t status,
    const char *problem)
{
    u_char                       *p, body[128], buf[512];
    size_t                        len;
    ngx_mqtt_client_ws_status_t  *st;

    ngx_log_error(NGX_LOG_INFO, mc->connection->log, 0,
                  "WebSocket handshake was refused with %ui: %s",
                  status, problem);

    ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_websockets_refused);

    for (st = ngx_mqtt_client_ws_statuses;
         st->status != status && st->status != 400;
         st++)
    {
        /* void */
    }

    len = ngx_snprintf(body, sizeof(body),
                       "This is MQTT over WebSocket: %s." CRLF, problem)
          - body;

    p = ngx_snprintf(buf, sizeof(buf),
                     "HTTP/1.1 %V" CRLF
                     "%V"
                     "Content-Type: text/plain" CRLF
                     "Content-Length: %uz" CRLF CRLF
                     "%*s",
                     &st->line, &st->headers, len, len, body);

    len = p - buf;

    p = ngx_mqtt_client_raw(mc, len);

    if (p) {
        ngx_memcpy(p, buf, len);
    }

    return ngx_mqtt_client_close(mc, NGX_MQTT_PROTOCOL_ERROR);
}


ngx_int_t
ngx_mqtt_client_ws_unwrap(ngx_mqtt_client_t *mc, u_char *p, size_t len)
{
    u_char                *start, *end, *dst;
    ngx_mqtt_client_ws_t  *ws;

    ws = mc->ws;

    start = p;
    end = p + len;
    dst = p;

    while (p < end && !ws->received) {

        switch (ngx_mqtt_ws_read(&ws->reader, &p, end, &dst)) {

        case NGX_OK:
            break;

        case NGX_DONE:
            ngx_mqtt_client_ws_control(mc);
            break;

        case NGX_DECLINED:
            ws->reader.control = ngx_mqtt_alloc(mc->worker,
                                                NGX_MQTT_WS_MAX_CONTROL);

            if (ws->reader.control == NULL) {
                ngx_mqtt_client_abort(mc, NGX_MQTT_UNSPECIFIED_ERROR);
            }

            break;

        default: /* NGX_ERROR */
            ws->received = 1;
            ws->failed = 1;
            ws->code = ws->reader.code;
        }

        if (mc->closing) {
            return NGX_ERROR;
        }
    }

    return dst - start;
}


static void
ngx_mqtt_client_ws_control(ngx_mqtt_client_t *mc)
{
    ngx_mqtt_client_ws_t  *ws;
    ngx_mqtt_ws_reader_t  *rd;

    ws = mc->ws;
    rd = &ws->reader;

    ngx_log_debug2(NGX_LOG_DEBUG_STREAM, mc->connection->log, 0,
                   "mqtt websocket control frame, opcode: %ui, length: %ui",
                   (ngx_uint_t) rd->opcode, (ngx_uint_t) rd->len);

    switch (rd->opcode) {

    case NGX_MQTT_WS_PING:
        ngx_mqtt_client_ws_send_control(mc, NGX_MQTT_WS_PONG, rd->payload,
                                        rd->len);
        break;

    case NGX_MQTT_WS_CLOSE:
        ws->received = 1;
        ws->code = (uint16_t) ngx_mqtt_ws_close_code(rd->payload, rd->len);
        break;

    default: /* NGX_MQTT_WS_PONG */
        break;
    }

    if (rd->control) {
        ngx_mqtt_free(mc->worker, rd->control, NGX_MQTT_WS_MAX_CONTROL);
        rd->control = NULL;
    }
}


static void
ngx_mqtt_client_ws_send_control(ngx_mqtt_client_t *mc, ngx_uint_t opcode,
    u_char *payload, size_t len)
{
    u_char  *p;

    ngx_mqtt_client_ws_seal(mc);

    p = ngx_mqtt_client_raw(mc, ngx_mqtt_ws_head_len(len) + len);

    if (p) {
        p = ngx_mqtt_ws_write_head(p, opcode, len);
        ngx_memcpy(p, payload, len);
    }
}


void
ngx_mqtt_client_ws_seal(ngx_mqtt_client_t *mc)
{
    size_t           len, head;
    ngx_mqtt_out_t  *first, *out;

    first = mc->ws->frame;

    if (first == NULL) {
        return;
    }

    mc->ws->frame = NULL;
    len = 0;

    for (out = first; out; out = out->next) {
        len += out->len - out->pos;
    }

    head = ngx_mqtt_ws_head_len(len);

    first->pos -= (uint32_t) head;
    mc->out_size += head;

    (void) ngx_mqtt_ws_write_head(first->data + first->pos,
                                  NGX_MQTT_WS_BINARY, len);
}


void
ngx_mqtt_client_ws_end(ngx_mqtt_client_t *mc)
{
    ngx_mqtt_client_ws_t  *ws;

    ws = mc->ws;

    if (ws->failed) {
        ngx_mqtt_client_error(mc, NGX_MQTT_PROTOCOL_ERROR,
                              (ws->code == NGX_MQTT_WS_UNSUPPORTED_DATA)
                              ? "client sent a WebSocket text frame"
                              : "client sent a bad WebSocket frame");
        return;
    }

    ngx_log_debug1(NGX_LOG_DEBUG_STREAM, mc->connection->log, 0,
                   "mqtt websocket was closed, code: %ui",
                   (ngx_uint_t) ws->code);

    /* the answer is the last thing that the peer still reads */

    ngx_mqtt_client_ws_close(mc, NGX_MQTT_SUCCESS);

    mc->gone = 1;
    mc->connection->log->action = NULL;

    ngx_mqtt_client_close(mc, NGX_MQTT_UNSPECIFIED_ERROR);
}


void
ngx_mqtt_client_ws_close(ngx_mqtt_client_t *mc, ngx_uint_t reason)
{
    u_char                 payload[2];
    ngx_uint_t             code;
    ngx_mqtt_client_ws_t  *ws;

    ws = mc->ws;

    if (!ws->open || ws->closed || mc->gone) {
        return;
    }

    ws->closed = 1;

    code = ws->received ? ws->code : ngx_mqtt_client_ws_code(reason);

    payload[0] = (u_char) (code >> 8);
    payload[1] = (u_char) code;

    ngx_mqtt_client_ws_send_control(mc, NGX_MQTT_WS_CLOSE, payload, 2);
}


/* what a page is told, which sees nothing of the reason code before 5.0 */

static ngx_uint_t
ngx_mqtt_client_ws_code(ngx_uint_t reason)
{
    switch (reason) {

    case NGX_MQTT_SERVER_SHUTTING_DOWN:
        return NGX_MQTT_WS_GOING_AWAY;

    case NGX_MQTT_PACKET_TOO_LARGE:
        return NGX_MQTT_WS_TOO_BIG;

    case NGX_MQTT_UNSPECIFIED_ERROR:
    case NGX_MQTT_SERVER_UNAVAILABLE:
        return NGX_MQTT_WS_INTERNAL_ERROR;

    default:
        return (reason < NGX_MQTT_UNSPECIFIED_ERROR) ? NGX_MQTT_WS_NORMAL
                                                     : NGX_MQTT_WS_POLICY;
    }
}


void
ngx_mqtt_client_ws_free(ngx_mqtt_client_t *mc)
{
    ngx_mqtt_client_ws_t  *ws;

    ws = mc->ws;

    if (ws->open) {
        ngx_mqtt_count_sub(mc->worker, NGX_MQTT_STAT_websockets, 1);
    }

    ngx_mqtt_free(mc->worker, ws->reader.control, NGX_MQTT_WS_MAX_CONTROL);
    ngx_mqtt_free(mc->worker, ws, sizeof(ngx_mqtt_client_ws_t));
}
