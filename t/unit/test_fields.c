
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * What the decoders put into their structs, and what the encoders make of
 * structs built by hand: round trips alone would not see two fields swapped.
 */

/* sources: wire/ngx_mqtt_wire_read.c wire/ngx_mqtt_utf8.c */
/* sources: wire/ngx_mqtt_topic.c wire/ngx_mqtt_props.c */
/* sources: wire/ngx_mqtt_wire_decode.c wire/ngx_mqtt_wire_encode.c */


#include "tap.h"
#include "bytes.h"
#include "ngx_mqtt_wire.h"


typedef struct {
    ngx_uint_t   type;
    const char  *packet;     /* a packet, the code goes in place of "%02x" */
    const char  *codes;
} codes_row_t;


/* table 2-6 of 5.0, packet by packet */

static codes_row_t  codes[] = {
    { NGX_MQTT_CONNACK, "20 {00 %02x {}}",
      "00 80 81 82 83 84 85 86 87 88 89 8a 8c 90 95 97 99 9a 9b 9c 9d 9f" },
    { NGX_MQTT_PUBACK, "40 {0001 %02x}",
      "00 10 80 83 87 90 91 97 99" },
    { NGX_MQTT_PUBREC, "50 {0001 %02x}",
      "00 10 80 83 87 90 91 97 99" },
    { NGX_MQTT_PUBREL, "62 {0001 %02x}",
      "00 92" },
    { NGX_MQTT_PUBCOMP, "70 {0001 %02x}",
      "00 92" },
    { NGX_MQTT_SUBACK, "90 {0001 {} %02x}",
      "00 01 02 80 83 87 8f 91 97 9e a1 a2" },
    { NGX_MQTT_UNSUBACK, "b0 {0001 {} %02x}",
      "00 11 80 83 87 8f 91" },
    { NGX_MQTT_DISCONNECT, "e0 {%02x}",
      "00 04 80 81 82 83 87 89 8b 8c 8d 8e 8f 90 93 94 95 96 97 98 99 9a 9b"
      " 9c 9d 9e 9f a0 a1 a2" },
    { NGX_MQTT_AUTH, "f0 {%02x {15 <M>}}",
      "00 18 19" }
};


static u_char  in[BYTES_MAX];
static u_char  out[BYTES_MAX];
static u_char  expected[BYTES_MAX];


/* the body behind a fixed header of two bytes */

static u_char *
body(const char *text, u_char **end)
{
    size_t   len;
    u_char  *p;

    len = bytes_parse(text, in);
    p = bytes_guard(in, len);
    *end = p + len;

    return p + 2;
}


static void
is_str(ngx_str_t *s, const char *text, const char *name)
{
    is_bytes(s->data, s->len, (const u_char *) text, strlen(text), name);
}


static void
written(u_char *p, size_t len, const char *text, const char *name)
{
    is((size_t) (p - out), len, name);
    is_bytes(out, p - out, expected, bytes_parse(text, expected), name);
}


static void
test_connect_v5(void)
{
    u_char              *p, *end;
    ngx_mqtt_connect_t   c;

    memset(&c, 0xa5, sizeof(c));

    p = body("10 {<MQTT> 05 f6 0102 {11 01020304 15 <M> 16 <D> 17 00 19 01"
             " 21 0506 22 0708 27 090a0b0c} <dev> {01 01 02 11121314"
             " 03 <ct> 08 <rt> 09 <cd> 18 15161718} <w/t> <bye> <user>"
             " <pass>}", &end);

    is(ngx_mqtt_decode_connect(p, end, &c), NGX_OK, "CONNECT 5.0");

    is_str(&c.protocol, "MQTT", "protocol");
    is(c.version, 5, "version");
    is(c.keep_alive, 0x0102, "keep alive");
    ok(c.clean && c.has_will && c.has_username && c.has_password
       && !c.bridge, "flags");
    is_str(&c.client_id, "dev", "client id");
    is_str(&c.username, "user", "user name");
    is_str(&c.password, "pass", "password");
    is_str(&c.will.topic, "w/t", "will topic");
    is_str(&c.will.payload, "bye", "will payload");
    is(c.will.qos, 2, "will QoS");
    is(c.will.retain, 1, "will retain");

    is(c.props.session_expiry, 0x01020304, "Session Expiry Interval");
    is(c.props.request_problem, 0, "Request Problem Information");
    is(c.props.request_response, 1, "Request Response Information");
    is(c.props.receive_maximum, 0x0506, "Receive Maximum");
    is(c.props.topic_alias_maximum, 0x0708, "Topic Alias Maximum");
    is(c.props.maximum_packet_size, 0x090a0b0c, "Maximum Packet Size");
    is_str(&c.props.auth_method, "M", "Authentication Method");
    is_str(&c.props.auth_data, "D", "Authentication Data");

    is(c.will.props.payload_format, 1, "will Payload Format Indicator");
    is(c.will.props.message_expiry, 0x11121314, "will Message Expiry");
    is(c.will.props.will_delay, 0x15161718, "Will Delay Interval");
    is_str(&c.will.props.content_type, "ct", "will Content Type");
    is_str(&c.will.props.response_topic, "rt", "will Response Topic");
    is_str(&c.will.props.correlation_data, "cd", "will Correlation Data");
}


static void
test_connect_v3(void)
{
    u_char              *p, *end;
    ngx_mqtt_connect_t   c;

    memset(&c, 0xa5, sizeof(c));

    p = body("10 {<MQTT> 84 00 000a <dev>}", &end);
    is(ngx_mqtt_decode_connect(p, end, &c), NGX_OK, "CONNECT 3.1.1");

    ok(c.bridge && c.version == 4, "a bridge");
    ok(!c.clean && !c.has_will && !c.has_username && !c.has_password,
       "no flags");
    ok(c.props.present == 0 && c.props.user.len == 0 && c.username.len == 0
       && c.password.len == 0 && c.will.topic.len == 0 && c.will.qos == 0
       && c.will.retain == 0 && c.will.props.present == 0,
       "what is not there is empty");

    memset(&c, 0xa5, sizeof(c));

    p = body("10 {<MQIsdp> 03 c2 003c <dev>}", &end);
    is(ngx_mqtt_decode_connect(p, end, &c), NGX_OK, "CONNECT 3.1");
    ok(!c.has_username && !c.has_password, "missing strings are not set");

    memset(&c, 0xa5, sizeof(c));

    p = body("10 {<MQIsdp> 03 c2 003c <dev> <u>}", &end);
    is(ngx_mqtt_decode_connect(p, end, &c), NGX_OK, "CONNECT 3.1");
    ok(c.has_username && !c.has_password, "missing password is not set");
    is_str(&c.username, "u", "user name");
}


/* numbers of absent properties keep the defaults of the caller */

static void
test_defaults(void)
{
    u_char              *p, *end;
    ngx_mqtt_connect_t   c;

    c.props.receive_maximum = 65535;
    c.props.request_problem = 1;
    c.props.session_expiry = 7;

    p = body("10 {<MQTT> 05 02 0000 {22 0001} <dev>}", &end);
    is(ngx_mqtt_decode_connect(p, end, &c), NGX_OK, "CONNECT 5.0");

    ok(c.props.receive_maximum == 65535 && c.props.request_problem == 1
       && c.props.session_expiry == 7, "absent numbers are not touched");
    is(c.props.topic_alias_maximum, 1, "a present one is set");
}


static void
test_connack(void)
{
    u_char              *p, *end;
    ngx_mqtt_connack_t   c;

    memset(&c, 0xa5, sizeof(c));

    p = body("20 {01 00 {11 01020304 12 <id> 13 0506 15 <M> 16 <D> 1a <ri>"
             " 1c <sr> 1f <rs> 21 0708 22 090a 24 01 25 00 27 0b0c0d0e"
             " 28 00 29 01 2a 00}}", &end);

    is(ngx_mqtt_decode_connack(p, end, 5, &c), NGX_OK, "CONNACK 5.0");

    ok(c.session_present == 1 && c.code == 0, "session present");
    is(c.props.session_expiry, 0x01020304, "Session Expiry Interval");
    is(c.props.server_keep_alive, 0x0506, "Server Keep Alive");
    is(c.props.receive_maximum, 0x0708, "Receive Maximum");
    is(c.props.topic_alias_maximum, 0x090a, "Topic Alias Maximum");
    is(c.props.maximum_qos, 1, "Maximum QoS");
    is(c.props.retain_available, 0, "Retain Available");
    is(c.props.maximum_packet_size, 0x0b0c0d0e, "Maximum Packet Size");
    is(c.props.wildcard_subs_available, 0, "Wildcard Subscriptions");
    is(c.props.sub_ids_available, 1, "Subscription Identifiers");
    is(c.props.shared_subs_available, 0, "Shared Subscriptions");
    is_str(&c.props.assigned_client_id, "id", "Assigned Client Identifier");
    is_str(&c.props.auth_method, "M", "Authentication Method");
    is_str(&c.props.auth_data, "D", "Authentication Data");
    is_str(&c.props.response_info, "ri", "Response Information");
    is_str(&c.props.server_reference, "sr", "Server Reference");
    is_str(&c.props.reason_string, "rs", "Reason String");

    p = body("20 {01 00}", &end);
    is(ngx_mqtt_decode_connack(p, end, 3, &c), NGX_OK, "CONNACK 3.1");
    is(c.session_present, 0, "its first byte is not used");

    /* the shapes of refusals */

    ngx_mqtt_props_reset(&c.props);
    c.session_present = 0;
    c.code = NGX_MQTT_UNSUPPORTED_PROTOCOL_VERSION;

    written(ngx_mqtt_write_connack(out, 6, &c), ngx_mqtt_connack_len(6, &c),
            "20 {00 84 {}}", "CONNACK to level 6");

    c.code = NGX_MQTT_V3_BAD_PROTOCOL;

    written(ngx_mqtt_write_connack(out, 1, &c), ngx_mqtt_connack_len(1, &c),
            "20 {00 01}", "CONNACK to level 1");

    c.session_present = 1;
    c.code = NGX_MQTT_V3_ACCEPTED;

    written(ngx_mqtt_write_connack(out, 3, &c), ngx_mqtt_connack_len(3, &c),
            "20 {00 00}", "CONNACK 3.1 has no session present");
}


static void
test_publish(void)
{
    u_char              *p, *end;
    ngx_mqtt_publish_t   m;

    memset(&m, 0xa5, sizeof(m));

    p = body("3d {<a/b> 0102 'hello'}", &end);
    is(ngx_mqtt_decode_publish(p, end, 4, 0x0d, &m), NGX_OK,
       "PUBLISH 3.1.1");
    ok(m.dup == 1 && m.qos == 2 && m.retain == 1, "flags");
    is(m.packet_id, 0x0102, "packet id");
    is_str(&m.topic, "a/b", "topic");
    is_str(&m.payload, "hello", "payload");
    ok(m.props.present == 0 && m.props.user.len == 0
       && m.props.nsub_ids == 0, "no properties");

    memset(&m, 0xa5, sizeof(m));

    p = body("30 {<a/b> {23 0304} }", &end);
    is(ngx_mqtt_decode_publish(p, end, 5, 0, &m), NGX_OK, "PUBLISH 5.0");
    ok(m.dup == 0 && m.qos == 0 && m.retain == 0 && m.packet_id == 0,
       "no packet id");
    ok(m.payload.len == 0 && m.payload.data == end, "no payload");
    ok(ngx_mqtt_prop_is_set(&m.props, NGX_MQTT_PROP_TOPIC_ALIAS)
       && m.props.topic_alias == 0x0304, "topic alias");
}


static void
test_write_publish(void)
{
    u_char              *p;
    uint32_t             ids[1];
    ngx_mqtt_publish_t   m;

    memset(&m, 0xa5, sizeof(m));
    ngx_mqtt_props_reset(&m.props);

    m.dup = 0;
    m.qos = 1;
    m.retain = 1;
    m.packet_id = 0x0a0b;
    ngx_str_set(&m.topic, "t/x");
    ngx_str_set(&m.payload, "data");

    written(ngx_mqtt_write_publish(out, 4, &m), ngx_mqtt_publish_len(4, &m),
            "33 {<t/x> 0a0b 'data'}", "PUBLISH 3.1.1");

    m.dup = 1;
    ids[0] = 300;
    m.props.sub_ids = ids;
    m.props.nsub_ids = 1;

    written(ngx_mqtt_write_publish(out, 5, &m), ngx_mqtt_publish_len(5, &m),
            "3b {<t/x> 0a0b {0b ac02} 'data'}", "PUBLISH 5.0");

    m.dup = 0;
    m.qos = 0;
    m.retain = 0;
    m.props.nsub_ids = 0;

    /* the head alone counts the payload in its Remaining Length */

    p = ngx_mqtt_write_publish_head(out, 5, &m);
    memcpy(p, "data", 4);

    is(ngx_mqtt_publish_head_len(5, &m), p - out, "length of the head");
    written(p + 4, ngx_mqtt_publish_len(5, &m), "30 {<t/x> {} 'data'}",
            "PUBLISH 5.0 in two parts");
}


static void
test_large_publish(void)
{
    u_char              *p, *end, *payload;
    ngx_mqtt_fixed_t     fx;
    ngx_mqtt_publish_t   m, back;

    payload = malloc(200000);
    memset(payload, 0xc3, 200000);

    memset(&m, 0, sizeof(m));
    ngx_str_set(&m.topic, "t");
    m.payload.data = payload;
    m.payload.len = 200000;

    p = out;
    end = ngx_mqtt_write_publish(out, 5, &m);
    is(end - p, ngx_mqtt_publish_len(5, &m), "length of 200000 bytes");

    is(ngx_mqtt_read_fixed(p, end, &fx), NGX_OK, "its fixed header");
    ok(fx.len == 4 && fx.remaining == 200004, "its Remaining Length");
    is(ngx_mqtt_decode_publish(p + fx.len, end, 5, fx.flags, &back), NGX_OK,
       "read again");
    ok(back.payload.len == 200000
       && memcmp(back.payload.data, payload, 200000) == 0, "its payload");

    free(payload);
}


static void
test_acks(void)
{
    u_char          *p, *end;
    ngx_mqtt_ack_t   a;

    memset(&a, 0xa5, sizeof(a));

    p = body("50 {0102 97 {1f <full>}}", &end);
    is(ngx_mqtt_decode_ack(p, end, 5, NGX_MQTT_PUBREC, &a), NGX_OK,
       "PUBREC");
    ok(a.packet_id == 0x0102 && a.code == 0x97, "packet id and code");
    is_str(&a.props.reason_string, "full", "Reason String");

    memset(&a, 0xa5, sizeof(a));

    p = body("e0 {}", &end);
    is(ngx_mqtt_decode_ack(p, end, 5, NGX_MQTT_DISCONNECT, &a), NGX_OK,
       "DISCONNECT");
    ok(a.packet_id == 0 && a.code == 0 && a.props.present == 0, "is empty");

    memset(&a, 0xa5, sizeof(a));

    p = body("e0 {04 {11 00000102}}", &end);
    is(ngx_mqtt_decode_ack(p, end, 5, NGX_MQTT_DISCONNECT, &a), NGX_OK,
       "DISCONNECT with properties");
    ok(a.packet_id == 0 && a.code == 4 && a.props.session_expiry == 0x0102,
       "its values");
}


static void
test_write_acks(void)
{
    ngx_uint_t      type;
    ngx_mqtt_ack_t  a;

    memset(&a, 0xa5, sizeof(a));
    ngx_mqtt_props_reset(&a.props);
    a.packet_id = 0x0102;
    a.code = 0x87;

    type = NGX_MQTT_PUBREL;
    written(ngx_mqtt_write_ack(out, 4, type, &a),
            ngx_mqtt_ack_len(4, type, &a), "62 {0102}",
            "PUBREL 3.1.1 has no code");
    written(ngx_mqtt_write_ack(out, 5, type, &a),
            ngx_mqtt_ack_len(5, type, &a), "62 {0102 87}", "PUBREL 5.0");

    type = NGX_MQTT_DISCONNECT;
    written(ngx_mqtt_write_ack(out, 4, type, &a),
            ngx_mqtt_ack_len(4, type, &a), "e0 {}",
            "DISCONNECT 3.1.1 has no code");
    written(ngx_mqtt_write_ack(out, 5, type, &a),
            ngx_mqtt_ack_len(5, type, &a), "e0 {87}", "DISCONNECT 5.0");

    a.code = 0;
    written(ngx_mqtt_write_ack(out, 5, type, &a),
            ngx_mqtt_ack_len(5, type, &a), "e0 {}", "DISCONNECT 5.0, 0");

    type = NGX_MQTT_AUTH;
    written(ngx_mqtt_write_ack(out, 5, type, &a),
            ngx_mqtt_ack_len(5, type, &a), "f0 {}", "AUTH, 0");

    a.code = 0x18;
    written(ngx_mqtt_write_ack(out, 5, type, &a),
            ngx_mqtt_ack_len(5, type, &a), "f0 {18 {}}",
            "AUTH keeps its properties");

    a.code = 0;
    type = NGX_MQTT_PUBACK;
    written(ngx_mqtt_write_ack(out, 5, type, &a),
            ngx_mqtt_ack_len(5, type, &a), "40 {0102}", "PUBACK 5.0, 0");

    a.props.present = ngx_mqtt_prop_bit(NGX_MQTT_PROP_REASON_STRING);
    ngx_str_set(&a.props.reason_string, "why");
    written(ngx_mqtt_write_ack(out, 5, type, &a),
            ngx_mqtt_ack_len(5, type, &a), "40 {0102 00 {1f <why>}}",
            "PUBACK 5.0, 0 with a property");
    written(ngx_mqtt_write_ack(out, 4, type, &a),
            ngx_mqtt_ack_len(4, type, &a), "40 {0102}",
            "PUBACK 3.1.1 has no properties");
}


static void
test_subscribe(void)
{
    u_char                *p, *pos, *end, list[64];
    ngx_int_t              rc;
    ngx_mqtt_filter_t      f, filter[2];
    ngx_mqtt_subscribe_t   s;

    memset(&s, 0xa5, sizeof(s));

    p = body("82 {0102 {0b 8001} <a/+> 2d <b> 00}", &end);
    is(ngx_mqtt_decode_subscribe(p, end, 5, NGX_MQTT_SUBSCRIBE, &s), NGX_OK,
       "SUBSCRIBE");
    ok(s.packet_id == 0x0102 && s.nfilters == 2
       && s.props.subscription_id == 128, "its values");

    pos = NULL;
    rc = ngx_mqtt_subscribe_next(&s, NGX_MQTT_SUBSCRIBE, &pos, &f);
    ok(rc == NGX_OK && f.options == 0x2d, "first filter");
    is_str(&f.filter, "a/+", "first filter");
    filter[0] = f;

    rc = ngx_mqtt_subscribe_next(&s, NGX_MQTT_SUBSCRIBE, &pos, &f);
    ok(rc == NGX_OK && f.options == 0x00, "second filter");
    is_str(&f.filter, "b", "second filter");
    filter[1] = f;

    is(ngx_mqtt_subscribe_next(&s, NGX_MQTT_SUBSCRIBE, &pos, &f), NGX_DONE,
       "no third filter");

    /* a list written filter by filter */

    p = ngx_mqtt_write_filter(list, NGX_MQTT_SUBSCRIBE, &filter[0]);
    is(p - list, ngx_mqtt_filter_len(NGX_MQTT_SUBSCRIBE, &filter[0]),
       "length of a filter");
    s.filters.data = list;
    s.filters.len = ngx_mqtt_write_filter(p, NGX_MQTT_SUBSCRIBE, &filter[1])
                    - list;

    written(ngx_mqtt_write_subscribe(out, 4, NGX_MQTT_SUBSCRIBE, &s),
            ngx_mqtt_subscribe_len(4, NGX_MQTT_SUBSCRIBE, &s),
            "82 {0102 <a/+> 2d <b> 00}", "SUBSCRIBE 3.1.1 written");

    p = ngx_mqtt_write_filter(list, NGX_MQTT_UNSUBSCRIBE, &filter[0]);
    is(p - list, ngx_mqtt_filter_len(NGX_MQTT_UNSUBSCRIBE, &filter[0]),
       "length of a filter to unsubscribe");
    s.filters.len = p - list;
    ngx_mqtt_props_reset(&s.props);

    written(ngx_mqtt_write_subscribe(out, 5, NGX_MQTT_UNSUBSCRIBE, &s),
            ngx_mqtt_subscribe_len(5, NGX_MQTT_UNSUBSCRIBE, &s),
            "a2 {0102 {} <a/+>}", "UNSUBSCRIBE 5.0 written");

    p = body("a2 {0102 <a> <b/c>}", &end);
    is(ngx_mqtt_decode_subscribe(p, end, 4, NGX_MQTT_UNSUBSCRIBE, &s),
       NGX_OK, "UNSUBSCRIBE");
    is(s.nfilters, 2, "two filters");

    pos = NULL;
    rc = ngx_mqtt_subscribe_next(&s, NGX_MQTT_UNSUBSCRIBE, &pos, &f);
    ok(rc == NGX_OK && f.options == 0, "first filter has no options");
    rc = ngx_mqtt_subscribe_next(&s, NGX_MQTT_UNSUBSCRIBE, &pos, &f);
    is_str(&f.filter, "b/c", "second filter");

    ngx_str_null(&s.filters);
    pos = NULL;
    is(ngx_mqtt_subscribe_next(&s, NGX_MQTT_SUBSCRIBE, &pos, &f), NGX_DONE,
       "no filters at all");
}


static void
test_suback(void)
{
    u_char              *p, *end;
    ngx_uint_t           type;
    ngx_mqtt_suback_t    s;

    memset(&s, 0xa5, sizeof(s));

    p = body("90 {0102 {1f <why>} 01 87}", &end);
    is(ngx_mqtt_decode_suback(p, end, 5, NGX_MQTT_SUBACK, &s), NGX_OK,
       "SUBACK");
    is(s.packet_id, 0x0102, "packet id");
    is_str(&s.codes, "\x01\x87", "codes");
    is_str(&s.props.reason_string, "why", "Reason String");

    type = NGX_MQTT_UNSUBACK;
    written(ngx_mqtt_write_suback(out, 4, type, &s),
            ngx_mqtt_suback_len(4, type, &s), "b0 {0102}",
            "UNSUBACK 3.1.1 has no codes");
    written(ngx_mqtt_write_suback(out, 5, type, &s),
            ngx_mqtt_suback_len(5, type, &s), "b0 {0102 {1f <why>} 01 87}",
            "UNSUBACK 5.0");
}


static ngx_int_t
decode_code(codes_row_t *row, unsigned code)
{
    char                 text[64];
    u_char              *p, *end;
    ngx_mqtt_ack_t       a;
    ngx_mqtt_suback_t    s;
    ngx_mqtt_connack_t   c;

    snprintf(text, sizeof(text), row->packet, code);
    p = body(text, &end);

    switch (row->type) {

    case NGX_MQTT_CONNACK:
        return ngx_mqtt_decode_connack(p, end, 5, &c);

    case NGX_MQTT_SUBACK:
    case NGX_MQTT_UNSUBACK:
        return ngx_mqtt_decode_suback(p, end, 5, row->type, &s);
    }

    return ngx_mqtt_decode_ack(p, end, 5, row->type, &a);
}


static void
test_codes(codes_row_t *row)
{
    char      hex[4];
    unsigned  code, bad, allowed;

    bad = 0;

    for (code = 0; code < 256; code++) {
        snprintf(hex, sizeof(hex), "%02x", code);
        allowed = (strstr(row->codes, hex) != NULL);

        if ((decode_code(row, code) == NGX_OK) != allowed) {
            printf("# code 0x%02x\n", code);
            bad++;
        }
    }

    ok(bad == 0, "2.4: the reason codes of %s",
       ngx_mqtt_packet_name(row->type));
}


static void
test_ping(void)
{
    written(ngx_mqtt_write_ping(out, NGX_MQTT_PINGREQ), 2, "c000",
            "PINGREQ");
    written(ngx_mqtt_write_ping(out, NGX_MQTT_PINGRESP), 2, "d000",
            "PINGRESP");
}


int
main(void)
{
    size_t  i;

    for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        test_codes(&codes[i]);
    }

    test_connect_v5();
    test_connect_v3();
    test_defaults();
    test_connack();
    test_publish();
    test_write_publish();
    test_large_publish();
    test_acks();
    test_write_acks();
    test_subscribe();
    test_suback();
    test_ping();

    return done_testing();
}
