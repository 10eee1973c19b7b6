
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The fixed header, variable byte integers, the readers, and the names.
 */

/* sources: wire/ngx_mqtt_wire_read.c wire/ngx_mqtt_utf8.c */


#include "tap.h"
#include "bytes.h"
#include "ngx_mqtt_wire.h"


typedef struct {
    const char  *name;
    const char  *bytes;
    ngx_int_t    rc;
    ngx_uint_t   type;
    ngx_uint_t   flags;
    size_t       remaining;
    size_t       len;
} fixed_row_t;


typedef struct {
    uint32_t     value;
    const char  *bytes;
} varint_row_t;


static fixed_row_t  fixed[] = {
    { "nothing", "", NGX_AGAIN, 0, 0, 0, 0 },
    { "first byte alone", "10", NGX_AGAIN, 0, 0, 0, 0 },
    { "length of one byte is to go on", "10 80", NGX_AGAIN, 0, 0, 0, 0 },
    { "length of two bytes is to go on", "10 ffff", NGX_AGAIN, 0, 0, 0, 0 },
    { "length of three bytes is to go on", "10 ffffff", NGX_AGAIN,
      0, 0, 0, 0 },
    { "PINGREQ", "c000", NGX_OK, 12, 0, 0, 2 },
    { "PUBLISH with flags", "3d7f", NGX_OK, 3, 13, 127, 2 },
    { "smallest of two bytes", "308001", NGX_OK, 3, 0, 128, 3 },
    { "largest of two bytes", "30ff7f", NGX_OK, 3, 0, 16383, 3 },
    { "smallest of three bytes", "30808001", NGX_OK, 3, 0, 16384, 4 },
    { "largest of three bytes", "30ffff7f", NGX_OK, 3, 0, 2097151, 4 },
    { "smallest of four bytes", "3080808001", NGX_OK, 3, 0, 2097152, 5 },
    { "largest of four bytes", "30ffffff7f", NGX_OK, 3, 0, 268435455, 5 },
    { "what follows does not matter", "c000ffff", NGX_OK, 12, 0, 0, 2 },
    { "type 0 is read", "0000", NGX_OK, 0, 0, 0, 2 },
    { "1.5.5 a fourth byte that goes on", "30ffffffff", NGX_ERROR,
      0, 0, 0, 0 },
    { "1.5.5 five bytes", "308080808001", NGX_ERROR, 0, 0, 0, 0 },
    { "[MQTT-1.5.5-1] 0 in two bytes", "308000", NGX_ERROR, 0, 0, 0, 0 },
    { "[MQTT-1.5.5-1] 127 in two bytes", "30ff00", NGX_ERROR, 0, 0, 0, 0 },
    { "[MQTT-1.5.5-1] 1 in four bytes", "3081808000", NGX_ERROR, 0, 0, 0, 0 }
};


static varint_row_t  varints[] = {
    { 0, "00" },
    { 1, "01" },
    { 127, "7f" },
    { 128, "8001" },
    { 16383, "ff7f" },
    { 16384, "808001" },
    { 2097151, "ffff7f" },
    { 2097152, "80808001" },
    { 268435455, "ffffff7f" }
};


/* the flags of 2.1.3, by type; PUBLISH takes any */

static ngx_uint_t  reserved[] = {
    0, 0, 0, 0, 0, 0, 2, 0, 2, 0, 2, 0, 0, 0, 0, 0
};


#define count(rows)  (sizeof(rows) / sizeof(rows[0]))


static void
test_fixed(fixed_row_t *row)
{
    u_char            *p, bytes[16];
    size_t             len;
    ngx_int_t          rc;
    ngx_mqtt_fixed_t   fx;

    len = bytes_parse(row->bytes, bytes);
    p = bytes_guard(bytes, len);

    memset(&fx, 0xa5, sizeof(fx));

    rc = ngx_mqtt_read_fixed(p, p + len, &fx);

    is(rc, row->rc, row->name);

    if (rc == NGX_OK) {
        ok(fx.type == row->type && fx.flags == row->flags
           && fx.remaining == row->remaining && fx.len == row->len,
           "%s: values", row->name);
    }
}


static void
test_varint(varint_row_t *row)
{
    u_char    *p, bytes[16], out[16];
    size_t     len, n;
    unsigned   bad;
    uint32_t   value;

    len = bytes_parse(row->bytes, bytes);
    p = bytes_guard(bytes, len);

    ok(ngx_mqtt_read_varint(p, p + len, &value) == p + len
       && value == row->value, "variable byte integer %u", row->value);

    n = ngx_mqtt_write_varint(out, row->value) - out;

    is_bytes(out, n, bytes, len, "written");
    is(ngx_mqtt_varint_len(row->value), len, "its length");

    bad = 0;

    for (n = 0; n < len; n++) {
        p = bytes_guard(bytes, n);
        bad += (ngx_mqtt_read_varint(p, p + n, &value) != NULL);
    }

    ok(bad == 0, "cut");
}


static void
test_flags(ngx_uint_t version)
{
    unsigned          bad;
    ngx_int_t         rc;
    ngx_uint_t        valid;
    ngx_mqtt_fixed_t  fx;

    fx.remaining = 0;
    fx.len = 2;

    for (fx.type = 0; fx.type < 16; fx.type++) {

        bad = 0;

        for (fx.flags = 0; fx.flags < 16; fx.flags++) {
            rc = ngx_mqtt_fixed_check(&fx, version);

            valid = (version == NGX_MQTT_V31 || fx.type == NGX_MQTT_PUBLISH
                     || fx.flags == reserved[fx.type]);

            if (fx.type == 0
                || (fx.type == NGX_MQTT_AUTH && version != NGX_MQTT_V5))
            {
                valid = 0;
            }

            bad += (rc != (valid ? NGX_OK : NGX_ERROR));
        }

        ok(bad == 0, "[MQTT-2.1.3-1] flags of %s, version %u",
           ngx_mqtt_packet_name(fx.type), (unsigned) version);
    }

    fx.type = 16;
    fx.flags = 0;
    ok(ngx_mqtt_fixed_check(&fx, version) == NGX_ERROR, "type 16");
}


static void
test_readers(void)
{
    u_char      *p, bytes[8];
    size_t       n;
    uint16_t     u16;
    uint32_t     u32;
    ngx_str_t    s;
    ngx_uint_t   u8;

    bytes_parse("0102fffe 05", bytes);

    p = bytes_guard(bytes, 5);

    ok(ngx_mqtt_read_u8(p, p + 1, &u8) == p + 1 && u8 == 1, "u8");
    ok(ngx_mqtt_read_u16(p, p + 2, &u16) == p + 2 && u16 == 0x0102, "u16");
    ok(ngx_mqtt_read_u32(p, p + 4, &u32) == p + 4 && u32 == 0x0102fffe,
       "u32");
    ok(ngx_mqtt_read_u32(p + 1, p + 5, &u32) == p + 5 && u32 == 0x02fffe05,
       "u32 unaligned");

    for (n = 0; n < 4; n++) {
        p = bytes_guard(bytes, n);

        ok(ngx_mqtt_read_u32(p, p + n, &u32) == NULL, "u32 of %zu", n);

        if (n < 2) {
            ok(ngx_mqtt_read_u16(p, p + n, &u16) == NULL, "u16 of %zu", n);
        }

        if (n < 1) {
            ok(ngx_mqtt_read_u8(p, p + n, &u8) == NULL, "u8 of %zu", n);
        }
    }

    bytes_parse("0003 616263", bytes);

    for (n = 0; n < 5; n++) {
        p = bytes_guard(bytes, n);
        ok(ngx_mqtt_read_bin(p, p + n, &s) == NULL, "string of %zu", n);
        ok(ngx_mqtt_read_utf8(p, p + n, &s) == NULL, "UTF-8 of %zu", n);
    }

    p = bytes_guard(bytes, 5);
    ok(ngx_mqtt_read_bin(p, p + 5, &s) == p + 5 && s.len == 3
       && s.data == p + 2, "string");

    bytes[3] = 0xff;
    p = bytes_guard(bytes, 5);
    ok(ngx_mqtt_read_bin(p, p + 5, &s) == p + 5, "binary");
    ok(ngx_mqtt_read_utf8(p, p + 5, &s) == NULL, "not UTF-8");

    p = bytes_guard((const u_char *) "\0", 2);
    p[1] = 0;
    ok(ngx_mqtt_read_utf8(p, p + 2, &s) == p + 2 && s.len == 0, "empty");
}


static void
test_names(void)
{
    ngx_uint_t  i, unknown;

    ok(strcmp(ngx_mqtt_packet_name(NGX_MQTT_CONNECT), "CONNECT") == 0
       && strcmp(ngx_mqtt_packet_name(NGX_MQTT_UNSUBACK), "UNSUBACK") == 0
       && strcmp(ngx_mqtt_packet_name(NGX_MQTT_AUTH), "AUTH") == 0
       && strcmp(ngx_mqtt_packet_name(16), "unknown") == 0,
       "packet names");

    ok(strcmp(ngx_mqtt_reason_name(0x81), "malformed packet") == 0
       && strcmp(ngx_mqtt_reason_name(0x8e), "session taken over") == 0
       && strcmp(ngx_mqtt_reason_name(0x97), "quota exceeded") == 0
       && strcmp(ngx_mqtt_reason_name(0xa2),
                 "wildcard subscriptions not supported") == 0
       && strcmp(ngx_mqtt_reason_name(0x00), "success") == 0
       && strcmp(ngx_mqtt_reason_name(0x19), "re-authenticate") == 0,
       "reason names");

    unknown = 0;

    for (i = 0; i < 0x200; i++) {
        unknown += (strcmp(ngx_mqtt_reason_name(i), "unknown") == 0);
    }

    is(0x200 - unknown, 8 + 35, "2.4: so many reason codes");
}


int
main(void)
{
    size_t  i;

    for (i = 0; i < count(fixed); i++) {
        test_fixed(&fixed[i]);
    }

    for (i = 0; i < count(varints); i++) {
        test_varint(&varints[i]);
    }

    test_flags(0);
    test_flags(NGX_MQTT_V31);
    test_flags(NGX_MQTT_V311);
    test_flags(NGX_MQTT_V5);

    test_readers();
    test_names();

    return done_testing();
}
