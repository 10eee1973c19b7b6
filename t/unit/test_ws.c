
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * WebSocket frames: each row as a whole and split at every byte, masked with
 * several keys; what a client may not send; heads and Close frames of ours.
 */

/* sources: wire/ngx_mqtt_ws.c wire/ngx_mqtt_utf8.c */


#include "tap.h"
#include "bytes.h"
#include "ngx_mqtt_ws.h"


#define FIN     0x80
#define CLOSES  (-2)           /* of a row: ends with a Close frame */


/* frames without their masking keys: { first byte, length, payload } */

typedef struct {
    int          first;
    int          form;         /* 7, 16 or 64: how the length is written */
    const char  *payload;
} frame_t;


typedef struct {
    const char  *name;
    int          code;         /* of an error, or 0 */
    const char  *data;         /* the payload for MQTT */
    const char  *control;      /* "opcode:payload;" of each control frame */
    frame_t      frames[6];
} row_t;


static row_t  rows[] = {
    { "binary", 0, "'abc'", "", { { FIN|2, 7, "'abc'" } } },
    { "empty", 0, "", "", { { FIN|2, 7, "" } } },
    { "two messages", 0, "'abcd'", "",
      { { FIN|2, 7, "'ab'" }, { FIN|2, 7, "'cd'" } } },
    { "fragments", 0, "'abcdef'", "",
      { { 2, 7, "'ab'" }, { 0, 7, "'cd'" }, { FIN|0, 7, "'ef'" } } },
    { "empty fragments", 0, "'ab'", "",
      { { 2, 7, "" }, { 0, 7, "'ab'" }, { 0, 7, "" }, { FIN|0, 7, "" } } },
    { "ping", 0, "", "9:;", { { FIN|9, 7, "" } } },
    { "ping with payload", 0, "'abcd'", "9:hello, world;",
      { { FIN|2, 7, "'ab'" }, { FIN|9, 7, "'hello, world'" },
        { FIN|2, 7, "'cd'" } } },
    { "control frames between fragments", 0, "'abcd'", "9:x;10:y;",
      { { 2, 7, "'ab'" }, { FIN|9, 7, "'x'" }, { FIN|10, 7, "'y'" },
        { FIN|0, 7, "'cd'" } } },
    { "close", CLOSES, "'ab'", "8:\x03\xe8;",
      { { FIN|2, 7, "'ab'" }, { FIN|8, 7, "03e8" } } },
    { "close without a code", CLOSES, "", "8:;", { { FIN|8, 7, "" } } },

    { "text", 1003, "", "", { { FIN|1, 7, "'ab'" } } },
    { "text behind binary", 1003, "'ab'", "",
      { { FIN|2, 7, "'ab'" }, { FIN|1, 7, "'cd'" } } },
    { "text in fragments", 1003, "", "", { { 1, 7, "'ab'" } } },
    { "text between fragments", 1002, "'ab'", "",
      { { 2, 7, "'ab'" }, { FIN|1, 7, "'cd'" } } },
    { "binary between fragments", 1002, "'ab'", "",
      { { 2, 7, "'ab'" }, { FIN|2, 7, "'cd'" } } },
    { "continuation of nothing", 1002, "", "", { { FIN|0, 7, "'ab'" } } },
    { "continuation behind the last fragment", 1002, "'abcd'", "",
      { { 2, 7, "'ab'" }, { FIN|0, 7, "'cd'" }, { FIN|0, 7, "'ef'" } } },
    { "RSV1", 1002, "", "", { { FIN|0x42, 7, "'ab'" } } },
    { "RSV2", 1002, "", "", { { FIN|0x22, 7, "'ab'" } } },
    { "RSV3", 1002, "", "", { { FIN|0x12, 7, "'ab'" } } },
    { "RSV1 of a ping", 1002, "", "", { { FIN|0x49, 7, "" } } },
    { "opcode 3", 1002, "", "", { { FIN|3, 7, "" } } },
    { "opcode 7", 1002, "", "", { { FIN|7, 7, "" } } },
    { "opcode 11", 1002, "", "", { { FIN|11, 7, "" } } },
    { "opcode 15", 1002, "", "", { { FIN|15, 7, "" } } },
    { "fragmented ping", 1002, "", "", { { 9, 7, "'x'" } } },
    { "fragmented close", 1002, "", "", { { 8, 7, "" } } },
    { "ping with a length of 16 bits", 1002, "", "",
      { { FIN|9, 16, "'x'" } } },
    { "16 bits where 7 do", 1002, "", "", { { FIN|2, 16, "'ab'" } } },
    { "64 bits where 7 do", 1002, "", "", { { FIN|2, 64, "'ab'" } } }
};


static u_char  stream[BYTES_MAX], expected[BYTES_MAX];


/* appends a masked frame, by the book */

static u_char *
put_frame(u_char *p, int first, int form, const u_char *payload, size_t len,
    const u_char *mask)
{
    int     shift;
    size_t  i;

    *p++ = (u_char) first;

    if (form == 7) {
        *p++ = (u_char) (0x80 | len);

    } else {
        *p++ = (u_char) (0x80 | (form == 16 ? 126 : 127));

        for (shift = form - 8; shift >= 0; shift -= 8) {
            *p++ = (u_char) ((unsigned long long) len >> shift);
        }
    }

    memcpy(p, mask, 4);
    p += 4;

    for (i = 0; i < len; i++) {
        *p++ = payload[i] ^ mask[i % 4];
    }

    return p;
}


typedef struct {
    ngx_mqtt_ws_reader_t   rd;
    u_char                 room[NGX_MQTT_WS_MAX_CONTROL];
    u_char                 data[BYTES_MAX];
    size_t                 len;
    char                   control[1024];
    size_t                 control_len;
    int                    code;
} reader_t;


/* one piece; its end is the end of readable memory */

static void
feed(reader_t *r, const u_char *data, size_t len)
{
    u_char     *p, *start, *end, *dst;
    ngx_int_t   rc;

    start = bytes_guard(data, len);
    p = start;
    end = start + len;
    dst = start;

    while (p < end && r->code == 0) {
        rc = ngx_mqtt_ws_read(&r->rd, &p, end, &dst);

        if (rc == NGX_DECLINED) {
            r->rd.control = r->room;

        } else if (rc == NGX_ERROR) {
            r->code = r->rd.code;

        } else if (rc == NGX_DONE) {
            r->control_len += snprintf(r->control + r->control_len, 256,
                                       "%d:", r->rd.opcode);
            memcpy(r->control + r->control_len, r->rd.payload, r->rd.len);
            r->control_len += r->rd.len;
            r->control[r->control_len++] = ';';
            r->rd.control = NULL;

            if (r->rd.opcode == NGX_MQTT_WS_CLOSE) {
                r->code = CLOSES;
            }

        } else if (p != end) {
            r->code = -1;
        }
    }

    memcpy(r->data + r->len, start, dst - start);
    r->len += dst - start;
}


static int
agrees(reader_t *r, row_t *row, size_t len)
{
    return r->code == row->code && r->len == len
           && memcmp(r->data, expected, len) == 0
           && r->control_len == strlen(row->control)
           && memcmp(r->control, row->control, r->control_len) == 0;
}


static void
test_row(row_t *row)
{
    size_t            i, n, len, first, second;
    u_char           *p, payload[256];
    unsigned          bad;
    frame_t          *f;
    static reader_t   r;

    static const u_char  masks[][5] = {
        "\x00\x00\x00\x00", "\x01\x02\x04\x80", "\xff\xfe\x7f\x00"
    };

    len = bytes_parse(row->data, expected);
    bad = 0;

    for (i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {

        p = stream;

        for (f = row->frames; f->payload; f++) {
            n = bytes_parse(f->payload, payload);
            p = put_frame(p, f->first, f->form, payload, n, masks[i]);
        }

        n = p - stream;

        /* in three pieces, split at every two places, and byte by byte */

        for (first = 0; first <= n; first++) {
            for (second = first; second <= n; second++) {
                memset(&r, 0, sizeof(r));
                feed(&r, stream, first);
                feed(&r, stream + first, second - first);
                feed(&r, stream + second, n - second);
                bad += !agrees(&r, row, len);
            }
        }

        memset(&r, 0, sizeof(r));

        for (first = 0; first < n; first++) {
            feed(&r, stream + first, 1);
        }

        bad += !agrees(&r, row, len);
    }

    if (!ok(bad == 0, "%s", row->name)) {
        printf("# code %d, %zu bytes, control \"%.*s\"\n",
               r.code, r.len, (int) r.control_len, r.control);
    }
}


/* every length around the three forms, in pieces of several sizes */

static void
test_lengths(void)
{
    size_t            i, n, len, piece;
    u_char           *p;
    unsigned          bad;
    static u_char     payload[70000];
    static reader_t   r;

    static const size_t  lengths[] = { 0, 1, 7, 8, 9, 125, 126, 127, 128, 255,
                                       256, 4099, 65535, 65536, 65537 };
    static const size_t  pieces[] = { 1, 3, 7, 8, 64, 1021, 80000 };

    for (i = 0; i < sizeof(payload); i++) {
        payload[i] = (u_char) (i * 7 + i / 251);
    }

    for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        len = lengths[i];
        bad = 0;

        for (n = 0; n < sizeof(pieces) / sizeof(pieces[0]); n++) {

            p = put_frame(stream, FIN|2, (len < 126) ? 7
                                         : (len < 65536) ? 16 : 64,
                          payload, len, (u_char *) "\x12\x34\x56\x78");

            memset(&r, 0, sizeof(r));

            for (piece = 0; piece < (size_t) (p - stream);
                 piece += pieces[n])
            {
                feed(&r, stream + piece,
                     ngx_min(pieces[n], (size_t) (p - stream) - piece));
            }

            bad += (r.code != 0 || r.len != len
                    || memcmp(r.data, payload, len) != 0);
        }

        ok(bad == 0, "payload of %zu bytes", len);
    }
}


/* heads that no row can express */

static void
test_heads(void)
{
    size_t           i, len;
    u_char           bytes[64];
    static reader_t  r;

    static struct {
        const char  *name;
        int          code;
        const char  *bytes;
    } heads[] = {
        { "not masked", 1002, "82 02 'ab'" },
        { "a ping that is not masked", 1002, "89 00" },
        { "the first two bytes suffice", 1002, "81 00" },
        { "a control frame of 126 bytes", 1002, "89 fe 007e 00000000" },
        { "a control frame with 64 bits", 1002, "88 ff" },
        { "125 in 16 bits", 1002, "82 fe 007d 00000000" },
        { "126 in 16 bits", 0, "82 fe 007e 00000000" },
        { "65535 in 64 bits", 1002, "82 ff 000000000000ffff 00000000" },
        { "65536 in 64 bits", 0, "82 ff 0000000000010000 00000000" },
        { "2^63 - 1", 0, "82 ff 7fffffffffffffff 00000000" },
        { "2^63", 1002, "82 ff 8000000000000000 00000000" },
        { "2^64 - 1", 1002, "82 ff ffffffffffffffff 00000000" }
    };

    for (i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        len = bytes_parse(heads[i].bytes, bytes);

        memset(&r, 0, sizeof(r));
        feed(&r, bytes, len);

        is(r.code, heads[i].code, heads[i].name);
    }
}


static void
test_write(void)
{
    size_t  i, n;
    u_char  head[16], bytes[16];

    static struct {
        uint64_t     len;
        const char  *bytes;
    } heads[] = {
        { 0, "82 00" },
        { 125, "82 7d" },
        { 126, "82 7e 007e" },
        { 65535, "82 7e ffff" },
        { 65536, "82 7f 0000000000010000" },
        { 0x123456789aULL, "82 7f 000000123456789a" }
    };

    for (i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        n = bytes_parse(heads[i].bytes, bytes);

        is(ngx_mqtt_ws_head_len(heads[i].len), n, "length of a head");
        is_bytes(head, ngx_mqtt_ws_write_head(head, NGX_MQTT_WS_BINARY,
                                              heads[i].len) - head,
                 bytes, n, "a head");
    }

    (void) ngx_mqtt_ws_write_head(head, NGX_MQTT_WS_PONG, 3);
    is_bytes(head, 2, (u_char *) "\x8a\x03", 2, "of a pong");
}


static void
test_close(void)
{
    size_t    i, len;
    u_char    bytes[128];
    unsigned  code, bad;

    static struct {
        const char  *name;
        unsigned     code;
        const char  *payload;
    } closes[] = {
        { "empty", 1000, "" },
        { "one byte", 1002, "03" },
        { "code 1000", 1000, "03e8" },
        { "1001 and a reason", 1001, "03e9 'going'" },
        { "code 4999", 4999, "1387" },
        { "3000 and UTF-8", 3000, "0bb8 c3a9" },
        { "U+0000 in the reason", 1000, "03e8 'a' 00 'b'" },
        { "not UTF-8", 1007, "03e8 ff" },
        { "not UTF-8 behind U+0000", 1007, "03e8 00 c3" },
        { "a cut character", 1007, "03e8 'a' e282" }
    };

    for (i = 0; i < sizeof(closes) / sizeof(closes[0]); i++) {
        len = bytes_parse(closes[i].payload, bytes);

        is(ngx_mqtt_ws_close_code(bytes_guard(bytes, len), len),
           closes[i].code, closes[i].name);
    }

    bad = 0;

    for (code = 0; code < 65536; code++) {
        bytes[0] = (u_char) (code >> 8);
        bytes[1] = (u_char) code;

        i = (code >= 3000 && code <= 4999)
            || (code >= 1000 && code <= 1014
                && code != 1004 && code != 1005 && code != 1006);

        bad += (ngx_mqtt_ws_close_code(bytes, 2) != (i ? code : 1002));
    }

    ok(bad == 0, "every code that two bytes can hold");
}


int
main(void)
{
    size_t  i;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        test_row(&rows[i]);
    }

    test_lengths();
    test_heads();
    test_write();
    test_close();

    return done_testing();
}
