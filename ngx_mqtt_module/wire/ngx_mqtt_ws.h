
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * WebSocket on the wire: frames and the opening handshake, the server's half.
 *
 * (1) Pure functions like the rest of wire/: no I/O, no allocation.
 * (2) Frames are taken off the stream as it comes, split anywhere; payload is
 *     unmasked in the place where it was received, moved over the headers.
 *     Where a frame or a message ends means nothing to MQTT [MQTT-6.0.0-2].
 * (3) No extension is ever agreed on, so the bits of extensions are errors.
 *
 * Section numbers in these files are those of RFC 6455.
 */


#ifndef _NGX_MQTT_WS_H_INCLUDED_
#define _NGX_MQTT_WS_H_INCLUDED_


#include "ngx_mqtt_wire.h"


/* opcodes, 5.2 */

#define NGX_MQTT_WS_CONTINUATION       0
#define NGX_MQTT_WS_TEXT               1
#define NGX_MQTT_WS_BINARY             2
#define NGX_MQTT_WS_CLOSE              8
#define NGX_MQTT_WS_PING               9
#define NGX_MQTT_WS_PONG               10


/* status codes of a close, 7.4.1 */

#define NGX_MQTT_WS_NORMAL             1000
#define NGX_MQTT_WS_GOING_AWAY         1001
#define NGX_MQTT_WS_PROTOCOL_ERROR     1002
#define NGX_MQTT_WS_UNSUPPORTED_DATA   1003
#define NGX_MQTT_WS_INVALID_DATA       1007
#define NGX_MQTT_WS_POLICY             1008
#define NGX_MQTT_WS_TOO_BIG            1009
#define NGX_MQTT_WS_INTERNAL_ERROR     1011


#define NGX_MQTT_WS_MAX_CONTROL        125     /* bytes of payload, 5.5 */
#define NGX_MQTT_WS_MAX_HEAD           14      /* of a masked frame */
#define NGX_MQTT_WS_MAX_OUT_HEAD       10      /* of one that is not */
#define NGX_MQTT_WS_KEY_LEN            24


/* frames from a client; zeroed at the start */

typedef struct {
    uint64_t              left;        /* payload of the frame to come */
    u_char               *control;     /* room for NGX_MQTT_WS_MAX_CONTROL
                                          bytes, or NULL */
    u_char               *payload;     /* of a whole control frame */
    u_char                mask[4];     /* of the next byte, and so on */
    u_char                head[NGX_MQTT_WS_MAX_HEAD];
    uint16_t              code;        /* why it is an error */
    uint8_t               head_len;    /* bytes of the head that are there */
    uint8_t               opcode;
    uint8_t               len;         /* bytes at payload, or in control */
    unsigned              inside:1;    /* the head is complete */
    unsigned              message:1;   /* more fragments follow */
} ngx_mqtt_ws_reader_t;


/*
 * Takes frames from [*src, end), payload of binary messages is written to
 * *dst and on, which is not behind *src.  Both are moved.
 *
 * NGX_OK: all is taken; NGX_DONE: rd->opcode is a control frame, its payload
 * is rd->payload of rd->len bytes, and what follows waits for the next call;
 * NGX_DECLINED: rd->control is needed; NGX_ERROR: rd->code says why, the
 * connection is to be failed (7.1.7).
 */
ngx_int_t ngx_mqtt_ws_read(ngx_mqtt_ws_reader_t *rd, u_char **src,
    u_char *end, u_char **dst);

/* the head of a final frame to a client, which is not masked (5.1) */
size_t ngx_mqtt_ws_head_len(uint64_t len);
u_char *ngx_mqtt_ws_write_head(u_char *p, ngx_uint_t opcode, uint64_t len);

/*
 * The code to answer a Close frame with: that of the frame, NORMAL where it
 * has none, PROTOCOL_ERROR or INVALID_DATA where it is not valid (5.5.1).
 */
ngx_uint_t ngx_mqtt_ws_close_code(u_char *p, size_t len);


/* the opening handshake, 4.2.1; zeroed at the start */

typedef struct {
    ngx_str_t             path;        /* without arguments, as it was sent */
    ngx_str_t             host;
    ngx_str_t             origin;
    ngx_str_t             key;
    ngx_str_t             protocol;    /* the one that is chosen */
    const char           *problem;     /* for the log and the client */
    unsigned              get:1;
    unsigned              http_1_1:1;  /* or a later 1.x */
    unsigned              upgrade:1;
    unsigned              connection:1;
    unsigned              version:1;   /* 13 */
    unsigned              has_version:1;
    unsigned              body:1;
    unsigned              repeated:1;  /* a header that may come once only */
} ngx_mqtt_ws_request_t;


#define ngx_mqtt_ws_is_upper(c)  ((c) >= 'A' && (c) <= 'Z')

/* no MQTT packet that may come first begins with two capital letters */

#define ngx_mqtt_ws_is_http(p)                                                \
    (ngx_mqtt_ws_is_upper((p)[0]) && ngx_mqtt_ws_is_upper((p)[1]))

/*
 * The length of a request with its empty line, 0 while that has not come;
 * the first "seen" bytes have been looked at before.
 */
size_t ngx_mqtt_ws_request_len(u_char *p, size_t seen, size_t len);

/* a whole request; NGX_ERROR: malformed, req->problem says what */
ngx_int_t ngx_mqtt_ws_parse_request(u_char *p, u_char *end,
    ngx_mqtt_ws_request_t *req);

/* one header of a request that somebody else has parsed */
void ngx_mqtt_ws_request_header(ngx_mqtt_ws_request_t *req, ngx_str_t *name,
    ngx_str_t *value);

/* the status of the answer: 101, or what it is refused with */
ngx_uint_t ngx_mqtt_ws_check_request(ngx_mqtt_ws_request_t *req);

/*
 * A pattern is an origin whose host may begin with "*.", for all subdomains;
 * NGX_ERROR unless it is one.  "null" is what pages without an origin send.
 */
ngx_int_t ngx_mqtt_ws_check_origin_pattern(ngx_str_t *pattern);
ngx_uint_t ngx_mqtt_ws_origin_match(ngx_str_t *pattern, ngx_str_t *origin);

/* 1: the page comes from the host that the request is sent to */
ngx_uint_t ngx_mqtt_ws_origin_is_host(ngx_str_t *origin, ngx_str_t *host);


#endif /* _NGX_MQTT_WS_H_INCLUDED_ */
