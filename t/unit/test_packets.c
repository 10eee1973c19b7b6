
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Every row of packet_rows.h: decoded, encoded again, and cut at every byte
 * right before a page without access.
 */

/* sources: wire/ngx_mqtt_wire_read.c wire/ngx_mqtt_utf8.c */
/* sources: wire/ngx_mqtt_topic.c wire/ngx_mqtt_props.c */
/* sources: wire/ngx_mqtt_wire_decode.c wire/ngx_mqtt_wire_encode.c */


#include "tap.h"
#include "bytes.h"
#include "any_packet.h"
#include "packet_rows.h"


static u_char  packet[BYTES_MAX];


static ngx_uint_t
read_packet(any_packet_t *any, ngx_uint_t version, u_char *p, size_t len)
{
    if (ngx_mqtt_read_fixed(p, p + len, &any->fx) != NGX_OK
        || any->fx.len + any->fx.remaining != len)
    {
        return 0x1ff;
    }

    return any_decode(any, version, p + any->fx.len, p + len);
}


static void
test_decode(packet_row_t *row, size_t len)
{
    u_char        *copy;
    ngx_uint_t     reason;
    any_packet_t   any;

    memset(&any, 0xa5, sizeof(any));

    copy = bytes_guard(packet, len);
    reason = read_packet(&any, row->version, copy, len);

    is(reason, row->reason, row->name);

    if (any.fx.type == NGX_MQTT_CONNECT && any.fx.flags == 0) {
        ok(any.u.connect.version == row->version, "%s: version", row->name);
    }

    free(any.sub_ids);
}


static void
test_encode(packet_row_t *row, size_t len)
{
    u_char        *out, *again, *copy;
    size_t         n;
    any_packet_t   any, second;

    memset(&any, 0xa5, sizeof(any));
    memset(&second, 0x5a, sizeof(second));

    copy = malloc(len);
    memcpy(copy, packet, len);

    if (read_packet(&any, row->version, copy, len) != NGX_MQTT_SUCCESS) {
        ok(0, "%s: decoded to be encoded", row->name);
        return;
    }

    n = any_len(&any);
    out = malloc(n);

    ok(any_write(&any, out) == out + n, "%s: length written", row->name);

    if (!(row->flags & ONE_WAY)) {
        is_bytes(out, n, packet, len, row->name);
    }

    if (read_packet(&second, any.version, out, n) == NGX_MQTT_SUCCESS
        && any_len(&second) == n)
    {
        again = malloc(n);
        any_write(&second, again);
        is_bytes(again, n, out, n, row->name);
        free(again);

    } else {
        ok(0, "%s: read again", row->name);
    }

    free(second.sub_ids);
    free(any.sub_ids);
    free(out);
    free(copy);
}


/* these packets can end nowhere else than where they end */

static int
is_rigid(any_packet_t *any)
{
    return any->fx.type == NGX_MQTT_CONNACK
           || (any->fx.type == NGX_MQTT_CONNECT
               && any->version != NGX_MQTT_V31);
}


static void
test_split(packet_row_t *row, size_t len)
{
    u_char        *p;
    size_t         n, head;
    ngx_int_t      rc;
    ngx_uint_t     reason, bad;
    any_packet_t   whole, any;

    bad = 0;

    reason = read_packet(&whole, row->version, packet, len);
    head = whole.fx.len;

    if (reason != 0x1ff) {
        free(whole.sub_ids);
    }

    for (n = 0; n < len; n++) {

        p = bytes_guard(packet, n);
        rc = ngx_mqtt_read_fixed(p, p + n, &any.fx);

        if (n < head) {
            bad += (rc != NGX_AGAIN);
            continue;
        }

        bad += (rc != NGX_OK || any.fx.remaining != len - head);

        /* the framing would wait; a shorter packet must be safe as well */

        reason = any_decode(&any, row->version, p + head, p + n);

        bad += (reason == 0x1ff);

        if (row->reason == 0 && is_rigid(&any)) {
            bad += (reason == NGX_MQTT_SUCCESS);
        }

        free(any.sub_ids);
    }

    ok(bad == 0, "%s: every split", row->name);
}


/* a packet that is right with one byte more is wrong, but for a payload */

static void
test_longer(packet_row_t *row, size_t len)
{
    u_char        *p;
    ngx_uint_t     reason;
    any_packet_t   any;

    p = malloc(len + 1);
    memcpy(p, packet, len);
    p[len] = 0xff;

    ngx_mqtt_read_fixed(p, p + len, &any.fx);

    if (any.fx.type != NGX_MQTT_PUBLISH) {
        reason = any_decode(&any, row->version, p + any.fx.len, p + len + 1);
        ok(reason != NGX_MQTT_SUCCESS && reason != 0x1ff,
           "%s: with a byte more", row->name);
    }

    free(p);
}


int
main(void)
{
    size_t         len;
    ngx_uint_t     i;
    packet_row_t  *row;

    for (i = 0; i < PACKET_ROWS; i++) {
        row = &packet_rows[i];
        len = bytes_parse(row->bytes, packet);

        test_decode(row, len);
        test_split(row, len);

        if (row->reason == 0) {
            test_encode(row, len);
            test_longer(row, len);
        }
    }

    return done_testing();
}
