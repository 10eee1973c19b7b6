
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * UTF-8: every code point, the edges of every range of table 3-7 of Unicode,
 * and each at every offset around the eight bytes that are taken at a time.
 */

/* sources: wire/ngx_mqtt_utf8.c */


#include "tap.h"
#include "bytes.h"
#include "ngx_mqtt_wire.h"


typedef struct {
    const char  *name;
    int          valid;
    const char  *bytes;
} utf8_row_t;


static utf8_row_t  rows[] = {
    { "empty", 1, "" },
    { "ASCII", 1, "'a'" },
    { "ASCII of 8", 1, "'abcdefgh'" },
    { "ASCII of 15", 1, "'abcdefghijklmno'" },
    { "U+0001, 1.5.4 may be sent", 1, "01" },
    { "U+007F", 1, "7f" },
    { "U+0080", 1, "c280" },
    { "U+07FF", 1, "dfbf" },
    { "U+0800", 1, "e0a080" },
    { "U+D7FF", 1, "ed9fbf" },
    { "U+E000", 1, "ee8080" },
    { "U+FEFF [MQTT-1.5.4-3]", 1, "efbbbf" },
    { "U+FFFE, a noncharacter", 1, "efbfbe" },
    { "U+FFFF, a noncharacter", 1, "efbfbf" },
    { "U+10000", 1, "f0908080" },
    { "U+10FFFF", 1, "f48fbfbf" },
    { "U+0000 [MQTT-1.5.4-2]", 0, "00" },
    { "U+D800 [MQTT-1.5.4-1]", 0, "eda080" },
    { "U+DBFF [MQTT-1.5.4-1]", 0, "edafbf" },
    { "U+DC00 [MQTT-1.5.4-1]", 0, "edb080" },
    { "U+DFFF [MQTT-1.5.4-1]", 0, "edbfbf" },
    { "a surrogate pair", 0, "eda080edb080" },
    { "overlong U+0000", 0, "c080" },
    { "overlong U+007F", 0, "c1bf" },
    { "overlong U+07FF", 0, "e09fbf" },
    { "overlong U+FFFF", 0, "f08fbfbf" },
    { "above U+10FFFF", 0, "f4908080" },
    { "f5", 0, "f5808080" },
    { "f8, five bytes", 0, "f888808080" },
    { "fc, six bytes", 0, "fc8480808080" },
    { "fe", 0, "fe" },
    { "ff", 0, "ff" },
    { "lone continuation 80", 0, "80" },
    { "lone continuation bf", 0, "bf" },
    { "two bytes cut", 0, "c3" },
    { "three bytes cut to two", 0, "e6b8" },
    { "three bytes cut to one", 0, "e6" },
    { "four bytes cut to three", 0, "f09f9a" },
    { "second byte is no continuation", 0, "c341" },
    { "third byte is no continuation", 0, "e6b841" },
    { "third byte is a lead", 0, "e6b8c3" },
    { "fourth byte is no continuation", 0, "f09f9a41" }
};


static int
check(const u_char *p, size_t len)
{
    ngx_str_t  s;

    s.len = len;
    s.data = bytes_guard(p, len);

    return ngx_mqtt_utf8_check(&s) == NGX_OK;
}


static void
test_row(utf8_row_t *row)
{
    u_char    bytes[64], text[128];
    size_t    len, before, after;
    unsigned  bad;

    len = bytes_parse(row->bytes, bytes);

    ok(check(bytes, len) == row->valid, "%s", row->name);

    bad = 0;

    for (before = 0; before < 18; before++) {
        for (after = 0; after < 18; after++) {
            memset(text, 'x', sizeof(text));
            memcpy(text + before, bytes, len);
            bad += (check(text, before + len + after) != row->valid);
        }
    }

    ok(bad == 0, "%s: at every offset", row->name);
}


static size_t
encode(unsigned long c, u_char *p)
{
    if (c < 0x80) {
        p[0] = (u_char) c;
        return 1;
    }

    if (c < 0x800) {
        p[0] = (u_char) (0xc0 + c / 64);
        p[1] = (u_char) (0x80 + c % 64);
        return 2;
    }

    if (c < 0x10000) {
        p[0] = (u_char) (0xe0 + c / 4096);
        p[1] = (u_char) (0x80 + c / 64 % 64);
        p[2] = (u_char) (0x80 + c % 64);
        return 3;
    }

    p[0] = (u_char) (0xf0 + c / 262144);
    p[1] = (u_char) (0x80 + c / 4096 % 64);
    p[2] = (u_char) (0x80 + c / 64 % 64);
    p[3] = (u_char) (0x80 + c % 64);
    return 4;
}


static void
test_code_points(void)
{
    int            valid;
    u_char         bytes[4];
    unsigned       bad;
    unsigned long  c;

    bad = 0;

    for (c = 0; c < 0x1f0000; c++) {
        valid = (c != 0 && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff));

        bad += (check(bytes, encode(c, bytes)) != valid);
    }

    ok(bad == 0, "every code point that four bytes can hold");
}


/* 1.5.4: what should not be sent, alone and behind eight bytes */

static void
test_allowed(void)
{
    int            allowed;
    u_char         bytes[12];
    size_t         len;
    unsigned       bad;
    ngx_str_t      s;
    unsigned long  c;

    bad = 0;
    memcpy(bytes, "abcdefgh", 8);

    for (c = 1; c <= 0x10ffff; c++) {

        if (c >= 0xd800 && c <= 0xdfff) {
            continue;
        }

        allowed = !(c <= 0x1f || (c >= 0x7f && c <= 0x9f)
                    || (c >= 0xfdd0 && c <= 0xfdef)
                    || (c & 0xffff) >= 0xfffe);

        len = encode(c, bytes + 8);

        s.len = len;
        s.data = bytes + 8;
        bad += ((ngx_mqtt_utf8_check_name(&s) == NGX_OK) != allowed);

        s.len = 8 + len;
        s.data = bytes;
        bad += ((ngx_mqtt_utf8_check_name(&s) == NGX_OK) != allowed);
    }

    ok(bad == 0, "every code point is allowed or not");

    s.len = 0;
    s.data = NULL;
    ok(ngx_mqtt_utf8_check_name(&s) == NGX_OK, "nothing is allowed");

    /* each place in a word */

    bad = 0;

    for (c = 0; c < 8; c++) {
        memset(bytes, '~', 8);
        s.len = 8;
        s.data = bytes;
        bad += (ngx_mqtt_utf8_check_name(&s) != NGX_OK);

        bytes[c] = 0x1f;
        bad += (ngx_mqtt_utf8_check_name(&s) == NGX_OK);

        bytes[c] = 0x7f;
        bad += (ngx_mqtt_utf8_check_name(&s) == NGX_OK);

        bytes[c] = ' ';
        bad += (ngx_mqtt_utf8_check_name(&s) != NGX_OK);
    }

    ok(bad == 0, "at every place");
}


/* an independent count: 1.1 million well-formed sequences and no more */

static void
test_sequences(void)
{
    u_char         bytes[3];
    unsigned long  n, valid;

    valid = 0;

    for (n = 0; n < 0x10000; n++) {
        bytes[0] = (u_char) (n >> 8);
        bytes[1] = (u_char) n;
        valid += check(bytes, 2);
    }

    /* two of 127, or one of 1920 */
    is(valid, 127 * 127 + 1920, "sequences of two bytes");

    valid = 0;

    for (n = 0; n < 0x1000000; n++) {
        bytes[0] = (u_char) (n >> 16);
        bytes[1] = (u_char) (n >> 8);
        bytes[2] = (u_char) n;
        valid += check(bytes, 3);
    }

    is(valid, 127 * 127 * 127 + 2 * 127 * 1920 + 63488 - 2048,
       "sequences of three bytes");
}


int
main(void)
{
    size_t  i;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        test_row(&rows[i]);
    }

    test_code_points();
    test_allowed();
    test_sequences();

    return done_testing();
}
