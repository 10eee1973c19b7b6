
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Properties: table 2-4 of 5.0 written down once more and held against the
 * decoder, for every identifier in every packet; values and repetitions.
 */

/* sources: wire/ngx_mqtt_wire_read.c wire/ngx_mqtt_utf8.c */
/* sources: wire/ngx_mqtt_topic.c wire/ngx_mqtt_props.c */


#include "tap.h"
#include "bytes.h"
#include "ngx_mqtt_wire.h"


#define MAL    NGX_MQTT_MALFORMED_PACKET
#define PROTO  NGX_MQTT_PROTOCOL_ERROR


/*
 * The letters are the packets of table 2-4: w will, c CONNECT, C CONNACK,
 * p PUBLISH, a PUBACK, r PUBREC, l PUBREL, o PUBCOMP, s SUBSCRIBE, S SUBACK,
 * u UNSUBSCRIBE, U UNSUBACK, d DISCONNECT, A AUTH.
 */

static const char  letters[] = "wcCparlosSuU__dA";


typedef struct {
    unsigned     id;
    const char  *packets;
    const char  *repeated;
    const char  *valid;
    const char  *invalid;    /* a value that is a Protocol Error */
} prop_row_t;


static prop_row_t  props[] = {
    { 0x01, "pw", "", "01", "02" },
    { 0x02, "pw", "", "00000000", NULL },
    { 0x03, "pw", "", "<text>", NULL },
    { 0x08, "pw", "", "<re/ply>", "<re/#>" },
    { 0x09, "pw", "", "0002 00ff", NULL },
    { 0x0b, "ps", "p", "ffffff7f", "00" },
    { 0x11, "cCd", "", "ffffffff", NULL },
    { 0x12, "C", "", "<id>", NULL },
    { 0x13, "C", "", "0000", NULL },
    { 0x15, "cCA", "", "<method>", NULL },
    { 0x16, "cCA", "", "0001 ff", NULL },
    { 0x17, "c", "", "00", "02" },
    { 0x18, "w", "", "00000000", NULL },
    { 0x19, "c", "", "01", "ff" },
    { 0x1a, "C", "", "<info>", NULL },
    { 0x1c, "Cd", "", "<host>", NULL },
    { 0x1f, "CarloSUdA", "", "<why>", NULL },
    { 0x21, "cC", "", "0001", "0000" },
    { 0x22, "cC", "", "0000", NULL },
    { 0x23, "p", "", "ffff", NULL },
    { 0x24, "C", "", "00", "02" },
    { 0x25, "C", "", "01", "02" },
    { 0x26, "wcCparlosSuUdA", "wcCparlosSuUdA", "<k><v>", NULL },
    { 0x27, "cC", "", "00000001", "00000000" },
    { 0x28, "C", "", "01", "02" },
    { 0x29, "C", "", "01", "80" },
    { 0x2a, "C", "", "00", "02" }
};


#define PROPS  (sizeof(props) / sizeof(props[0]))


/* the reason of a block, 0 if it is read to its end */

static ngx_uint_t
read_block(const char *block, ngx_uint_t packet)
{
    u_char            *p, bytes[1024];
    size_t             len;
    ngx_uint_t         reason;
    ngx_mqtt_props_t   pr;

    memset(&pr, 0xa5, sizeof(pr));

    len = bytes_parse(block, bytes);
    p = bytes_guard(bytes, len);

    reason = 0;
    p = ngx_mqtt_read_props(p, p + len, packet, &pr, &reason);

    if (p == NULL) {
        return reason;
    }

    return (p == bytes_guard(NULL, 0)) ? 0 : 0x1ff;
}


static prop_row_t *
find_row(unsigned id)
{
    size_t  i;

    for (i = 0; i < PROPS; i++) {
        if (props[i].id == id) {
            return &props[i];
        }
    }

    return NULL;
}


static void
test_table(unsigned id)
{
    char          block[256];
    unsigned      bad;
    ngx_uint_t    packet, reason, expected;
    prop_row_t   *row;

    bad = 0;
    row = find_row(id);

    for (packet = 0; packet < 16; packet++) {

        snprintf(block, sizeof(block), "{%02x %s}", id,
                 row ? row->valid : "01");

        reason = read_block(block, packet);
        expected = (row && strchr(row->packets, letters[packet])) ? 0 : MAL;

        if (reason != expected) {
            printf("# %s in packet %u: 0x%02x\n", block, (unsigned) packet,
                   (unsigned) reason);
            bad++;
        }
    }

    ok(bad == 0, "2.2.2.2 where property 0x%02x belongs", id);
}


static void
test_repeated(prop_row_t *row)
{
    char        block[256];
    unsigned    bad;
    ngx_uint_t  packet, expected;

    bad = 0;

    for (packet = 0; packet < 16; packet++) {

        if (strchr(row->packets, letters[packet]) == NULL) {
            continue;
        }

        snprintf(block, sizeof(block), "{%02x %s %02x %s}", row->id,
                 row->valid, row->id, row->valid);

        expected = strchr(row->repeated, letters[packet]) ? 0 : PROTO;
        bad += (read_block(block, packet) != expected);

        if (row->invalid) {
            snprintf(block, sizeof(block), "{%02x %s}", row->id,
                     row->invalid);
            bad += (read_block(block, packet) != PROTO);
        }
    }

    ok(bad == 0, "property 0x%02x twice, and with a wrong value", row->id);
}


/* a block whose length is right, but whose property is cut: malformed */

static void
test_cut(prop_row_t *row)
{
    char               text[256];
    u_char            *p, bytes[256], cut[256];
    size_t             len, n;
    unsigned           bad;
    ngx_uint_t         packet, reason;
    ngx_mqtt_props_t   pr;

    snprintf(text, sizeof(text), "%02x %s", row->id, row->valid);
    len = bytes_parse(text, bytes);

    packet = strchr(letters, row->packets[0]) - letters;
    bad = 0;

    for (n = 1; n < len; n++) {
        cut[0] = (u_char) n;
        memcpy(cut + 1, bytes, n);

        p = bytes_guard(cut, n + 1);

        bad += (ngx_mqtt_read_props(p, p + n + 1, packet, &pr, &reason)
                != NULL || reason != MAL);

        /* the same, but the length says that there is more */

        cut[0] = (u_char) len;
        p = bytes_guard(cut, n + 1);

        bad += (ngx_mqtt_read_props(p, p + n + 1, packet, &pr, &reason)
                != NULL || reason != MAL);
    }

    ok(bad == 0, "property 0x%02x cut", row->id);
}


static void
test_walks(void)
{
    u_char            *p, *pos, bytes[512];
    size_t             len;
    uint32_t           id;
    ngx_int_t          rc;
    ngx_str_t          name, value;
    ngx_uint_t         reason, n;
    ngx_mqtt_props_t   pr;

    len = bytes_parse("{01 01 26 <a> <1> 0b 07 03 <text> 26 <> <> 0b 80 01"
                      " 23 0005 26 <a> <3> 09 <x>}", bytes);

    p = bytes_guard(bytes, len);
    ok(ngx_mqtt_read_props(p, p + len, NGX_MQTT_PUBLISH, &pr, &reason)
       == p + len, "a block with everything mixed");

    is(pr.present, 1ull << 1 | 1ull << 0x26 | 1ull << 0x0b | 1ull << 3
                   | 1ull << 0x23 | 1ull << 9, "what is present");
    is(pr.topic_alias, 5, "topic alias");
    is(pr.payload_format, 1, "payload format");
    is(pr.subscription_id, 7, "the first subscription id stays");
    is_bytes(pr.content_type.data, pr.content_type.len,
             (const u_char *) "text", 4, "content type");
    ok(pr.raw.data == p + 1 && pr.raw.len == len - 1, "the raw block");

    pos = NULL;
    n = 0;

    while ((rc = ngx_mqtt_props_next_user(&pr.user, &pos, &name, &value))
           == NGX_OK)
    {
        n++;
        ok((n == 1 && name.len == 1 && value.data[0] == '1')
           || (n == 2 && name.len == 0 && value.len == 0)
           || (n == 3 && name.data[0] == 'a' && value.data[0] == '3'),
           "user property %u", (unsigned) n);
    }

    is(rc, NGX_DONE, "no more user properties");
    is(n, 3, "three user properties");
    is(ngx_mqtt_props_next_user(&pr.user, &pos, &name, &value), NGX_DONE,
       "none after the last");

    pos = NULL;
    rc = ngx_mqtt_props_next_sub_id(&pr.raw, &pos, &id);
    ok(rc == NGX_OK && id == 7, "first subscription id");
    rc = ngx_mqtt_props_next_sub_id(&pr.raw, &pos, &id);
    ok(rc == NGX_OK && id == 128, "second subscription id");
    rc = ngx_mqtt_props_next_sub_id(&pr.raw, &pos, &id);
    is(rc, NGX_DONE, "no third subscription id");

    ngx_mqtt_props_reset(&pr);
    pos = NULL;
    is(ngx_mqtt_props_next_user(&pr.user, &pos, &name, &value), NGX_DONE,
       "no user properties at all");
    is(ngx_mqtt_props_next_sub_id(&pr.raw, &pos, &id), NGX_DONE,
       "no subscription ids at all");
}


/* whoever builds "user" wrongly gets an end, not an over-read */

static void
test_broken_user(void)
{
    u_char     *pos, bytes[64];
    size_t      len, n;
    unsigned    bad;
    ngx_str_t   user, name, value;

    len = bytes_parse("26 <key> <value> 03 <t> 26 <k> <v>", bytes);
    bad = 0;

    for (n = 0; n < len; n++) {
        user.len = n;
        user.data = bytes_guard(bytes, n);
        pos = NULL;

        while (ngx_mqtt_props_next_user(&user, &pos, &name, &value)
               == NGX_OK)
        {
            bad += (value.data + value.len > user.data + user.len);
        }
    }

    ok(bad == 0, "user properties cut at every byte");
}


static void
test_written(void)
{
    u_char            bytes[512], out[512], user[64];
    size_t            len;
    uint32_t          ids[2];
    ngx_str_t         name = ngx_string("k"), value = ngx_string("val");
    ngx_mqtt_props_t  pr;

    ngx_mqtt_props_reset(&pr);

    is(ngx_mqtt_props_len(&pr), 1, "length of no properties");
    ok(ngx_mqtt_write_props(out, &pr) == out + 1 && out[0] == 0,
       "no properties");

    is(ngx_mqtt_user_prop_len(&name, &value), 1 + 2 + 1 + 2 + 3,
       "length of a user property");

    pr.user.data = user;
    pr.user.len = ngx_mqtt_write_user_prop(user, &name, &value) - user;

    pr.present = ngx_mqtt_prop_bit(NGX_MQTT_PROP_TOPIC_ALIAS)
                 |ngx_mqtt_prop_bit(NGX_MQTT_PROP_MESSAGE_EXPIRY)
                 |ngx_mqtt_prop_bit(NGX_MQTT_PROP_PAYLOAD_FORMAT)
                 |ngx_mqtt_prop_bit(NGX_MQTT_PROP_SUBSCRIPTION_ID)
                 |ngx_mqtt_prop_bit(NGX_MQTT_PROP_USER_PROPERTY)
                 |ngx_mqtt_prop_bit(NGX_MQTT_PROP_CONTENT_TYPE);

    pr.topic_alias = 0x0102;
    pr.message_expiry = 0x01020304;
    pr.payload_format = 1;
    ngx_str_set(&pr.content_type, "ct");

    ids[0] = 1;
    ids[1] = 16384;
    pr.sub_ids = ids;
    pr.nsub_ids = 2;

    len = bytes_parse("{01 01 02 01020304 03 <ct> 23 0102 26 <k> <val>"
                      " 0b 01 0b 808001}", bytes);

    is(ngx_mqtt_props_len(&pr), len, "length of properties");
    is_bytes(out, ngx_mqtt_write_props(out, &pr) - out, bytes, len,
             "properties");
}


int
main(void)
{
    size_t    i;
    unsigned  id;

    for (id = 0; id < 256; id++) {
        test_table(id);
    }

    for (i = 0; i < PROPS; i++) {
        test_repeated(&props[i]);
        test_cut(&props[i]);
    }

    test_walks();
    test_broken_user();
    test_written();

    return done_testing();
}
