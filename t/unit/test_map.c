
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/* sources: mapping/ngx_mqtt_map.c mapping/ngx_mqtt_headers.c */


/*
 * The mapping contract: topics and headers, name by name and byte by byte.
 */


#include <stdio.h>

#include "ngx_mqtt_map.h"


#define PROP_FORMAT       "\x01\x01"
#define PROP_EXPIRY       "\x02\x00\x00\x00\x3c"
#define PROP_TYPE         "\x03\x00\x04" "text"
#define PROP_RESPONSE     "\x08\x00\x03" "a/b"
#define PROP_CORRELATION  "\x09\x00\x03" "\x00\xff\x01"
#define PROP_USER(nl, n, vl, v)  "\x26\x00" nl n "\x00" vl v

#define HEADERS           32

#define BASE5                                                                 \
    "qoslevel=1|cleansessionflag=false|mqttSecondTopic=/engine/rpm|"          \
    "clientId=GID_cars@@@vin-001|mqttGateway=fleet|"


static void test_init(void);
static void test_find(void);
static void test_contract(void);
static void test_plain(void);
static void test_v5(void);
static void test_user(void);
static void test_cut(void);
static void test_numbers(void);
static void base(ngx_mqtt_map_uplink_t *up, const char *props, size_t len);
static void find_is(ngx_mqtt_map_t *map, const char *topic,
    const char *expected);
static void headers_are(ngx_mqtt_map_uplink_t *up, const char *expected,
    const char *name);
static void is(const char *got, const char *expected, const char *name);
static void ok(int cond, const char *name);


static int  tests;
static int  failed;


int
main(void)
{
    test_init();
    test_find();
    test_contract();
    test_plain();
    test_v5();
    test_user();
    test_cut();
    test_numbers();

    printf("1..%d\n", tests);

    return failed ? 1 : 0;
}


static void
test_init(void)
{
    ngx_str_t             dup;
    ngx_uint_t            i;
    ngx_mqtt_map_t        map;
    ngx_mqtt_map_entry_t  twice[] = {
        { ngx_string("b"), ngx_string("k1"), 0, 0, 0 },
        { ngx_string("a"), ngx_string("k2"), 1, 0, 0 },
        { ngx_string("ab"), ngx_string("k3"), 2, 0, 0 },
        { ngx_string("b"), ngx_string("k4"), 3, 0, 0 }
    };

    ngx_str_null(&dup);

    map.entries = twice;
    map.nentries = 4;

    ok(ngx_mqtt_map_init(&map, &dup) == NGX_ERROR, "a parent twice");
    ok(dup.len == 1 && dup.data[0] == 'b', "the parent that stands twice");

    map.nentries = 3;

    for (i = 0; i < 3; i++) {
        twice[i].parent.data = (u_char *) &"cab"[i];
        twice[i].parent.len = 1;
    }

    ok(ngx_mqtt_map_init(&map, &dup) == NGX_OK, "three parents");

    ok(twice[0].parent.data[0] == 'a' && twice[1].parent.data[0] == 'b'
       && twice[2].parent.data[0] == 'c', "they are sorted");

    map.nentries = 0;

    ok(ngx_mqtt_map_init(&map, &dup) == NGX_OK, "no parents");
    find_is(&map, "a/b", "none");
}


static void
test_find(void)
{
    ngx_str_t             dup;
    ngx_mqtt_map_t        map;
    ngx_mqtt_map_entry_t  entries[] = {
        { ngx_string("telemetry"), ngx_string("vehicle.telemetry"), 0, 0, 0 },
        { ngx_string("tele"), ngx_string("short"), 1, 0, 0 },
        { ngx_string("chat"), ngx_string("chat"), 2, 0, 0 },
        { ngx_string("chas"), ngx_string("chas"), 3, 0, 0 },
        { ngx_string("$SYS"), ngx_string("never"), 4, 0, 0 }
    };

    map.entries = entries;
    map.nentries = 5;

    ok(ngx_mqtt_map_init(&map, &dup) == NGX_OK, "five parents");

    find_is(&map, "telemetry/engine/rpm", "vehicle.telemetry /engine/rpm");
    find_is(&map, "telemetry", "vehicle.telemetry ");
    find_is(&map, "telemetry/", "vehicle.telemetry /");
    find_is(&map, "telemetry//x", "vehicle.telemetry //x");
    find_is(&map, "tele/metry", "short /metry");
    find_is(&map, "chat", "chat ");
    find_is(&map, "chas/p2p/GID@@@1", "chas /p2p/GID@@@1");

    find_is(&map, "telemetr", "none");
    find_is(&map, "telemetryx", "none");
    find_is(&map, "Telemetry", "none");
    find_is(&map, "/telemetry", "none");
    find_is(&map, "", "none");
    find_is(&map, "$SYS/uploadToken", "none");
}


static void
test_contract(void)
{
    ngx_str_t   s;
    ngx_uint_t  i;

    static const char  *names[] = {
        "qoslevel", "cleansessionflag", "mqttSecondTopic", "mqttRealTopic",
        "clientId", "mqttGateway", "mqttRetain", "mqtt5PayloadFormat",
        "mqtt5MsgExpireInterval", "mqtt5ContentType", "mqtt5ResponseTopic",
        "mqtt5CorrelationData", "mqttDeadLetterReason",
        "mqttDeadLetterTopic", "qosLevel", "CLIENTID", "CleanSessionFlag",
        "MQTTREALTOPIC"
    };

    static const char  *others[] = {
        "", "qos", "qoslevel ", "clientI", "mqtt", "tag", "mqttSecondTopics"
    };

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        s.len = strlen(names[i]);
        s.data = (u_char *) names[i];

        ok(ngx_mqtt_map_is_contract_header(&s) == 1, names[i]);
    }

    for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        s.len = strlen(others[i]);
        s.data = (u_char *) others[i];

        ok(ngx_mqtt_map_is_contract_header(&s) == 0, "not of the contract");
    }
}


static void
base(ngx_mqtt_map_uplink_t *up, const char *props, size_t len)
{
    memset(up, 0, sizeof(ngx_mqtt_map_uplink_t));

    ngx_str_set(&up->sub, "/engine/rpm");
    ngx_str_set(&up->client_id, "GID_cars@@@vin-001");
    ngx_str_set(&up->gateway, "fleet");

    up->qos = 1;
    up->props.len = len;
    up->props.data = (u_char *) props;
}


static void
test_plain(void)
{
    ngx_mqtt_map_uplink_t  up;

    base(&up, NULL, 0);
    headers_are(&up, BASE5, "the five of every record");

    up.qos = 2;
    up.clean = 1;
    up.retain = 1;
    ngx_str_set(&up.sub, "");

    headers_are(&up, "qoslevel=2|cleansessionflag=true|mqttSecondTopic=|"
                "clientId=GID_cars@@@vin-001|mqttGateway=fleet|"
                "mqttRetain=true|", "retained, clean, without sub-levels");

    up.qos = 0;
    up.retain = 0;

    headers_are(&up, "qoslevel=0|cleansessionflag=true|mqttSecondTopic=|"
                "clientId=GID_cars@@@vin-001|mqttGateway=fleet|", "QoS 0");
}


static void
test_v5(void)
{
    ngx_mqtt_map_uplink_t  up;

    static const char  props[] = PROP_CORRELATION PROP_RESPONSE PROP_EXPIRY
                                 PROP_TYPE PROP_FORMAT;

    base(&up, props, sizeof(props) - 1);
    up.retain = 1;
    up.has_expiry = 1;
    up.expiry = 4294967295;

    headers_are(&up, BASE5 "mqttRetain=true|mqtt5PayloadFormat=1|"
                "mqtt5MsgExpireInterval=4294967295|mqtt5ContentType=text|"
                "mqtt5ResponseTopic=a/b|mqtt5CorrelationData=\\00\xff\x01|",
                "every property, in the order of the contract");

    /* what is left counts, not what the publisher said */

    up.has_expiry = 0;
    up.retain = 0;

    headers_are(&up, BASE5 "mqtt5PayloadFormat=1|mqtt5ContentType=text|"
                "mqtt5ResponseTopic=a/b|mqtt5CorrelationData=\\00\xff\x01|",
                "an expiry comes from the message only");

    base(&up, "\x01\x00\x03\x00\x00\x09\x00\x00", 8);

    headers_are(&up, BASE5 "mqtt5PayloadFormat=0|mqtt5ContentType=|"
                "mqtt5CorrelationData=|", "empty values");
}


static void
test_user(void)
{
    ngx_mqtt_map_uplink_t  up;

    static const char  props[] = PROP_USER("\x01", "k", "\x01", "1")
                                 PROP_USER("\x08", "ClientID", "\x01", "x")
                                 PROP_USER("\x01", "a", "\x00", "")
                                 PROP_TYPE
                                 PROP_USER("\x01", "k", "\x01", "2")
                                 PROP_USER("\x0d", "mqttRealTopic",
                                           "\x01", "x")
                                 PROP_USER("\x00", "", "\x01", "e");

    base(&up, props, sizeof(props) - 1);

    headers_are(&up, BASE5 "mqtt5ContentType=text|k=1|a=|k=2|=e|",
                "user properties in order, none of the contract");
}


/* a block that is cut short never reads behind its end */

static void
test_cut(void)
{
    u_char                *copy;
    size_t                 len;
    ngx_uint_t             n, max, bad;
    ngx_keyval_t           headers[HEADERS];
    u_char                 scratch[NGX_MQTT_MAP_SCRATCH];
    ngx_mqtt_map_uplink_t  up;

    static const char  props[] = PROP_FORMAT PROP_EXPIRY PROP_TYPE
                                 PROP_RESPONSE PROP_CORRELATION
                                 PROP_USER("\x01", "k", "\x01", "1")
                                 "\x7f" PROP_TYPE;

    bad = 0;

    for (len = 0; len < sizeof(props); len++) {
        copy = malloc(len ? len : 1);
        memcpy(copy, props, len);

        base(&up, (char *) copy, len);

        n = ngx_mqtt_map_headers(&up, headers, scratch);
        max = ngx_mqtt_map_headers_max(&up.props);

        if (n < 5 || n > max) {
            bad++;
        }

        free(copy);
    }

    ok(bad == 0, "blocks cut short");

    base(&up, props, sizeof(props) - 1);

    headers_are(&up, BASE5 "mqtt5PayloadFormat=1|mqtt5ContentType=text|"
                "mqtt5ResponseTopic=a/b|mqtt5CorrelationData=\\00\xff\x01|"
                "k=1|", "nothing behind an unknown property");
}


static void
test_numbers(void)
{
    ngx_mqtt_map_uplink_t  up;

    base(&up, NULL, 0);
    up.has_expiry = 1;

    headers_are(&up, BASE5 "mqtt5MsgExpireInterval=0|", "expiry 0");

    up.expiry = 10;

    headers_are(&up, BASE5 "mqtt5MsgExpireInterval=10|", "expiry 10");
}


static void
find_is(ngx_mqtt_map_t *map, const char *topic, const char *expected)
{
    char                   got[256];
    ngx_str_t              s, sub;
    ngx_mqtt_map_entry_t  *entry;

    s.len = strlen(topic);
    s.data = (u_char *) topic;

    entry = ngx_mqtt_map_find(map, &s, &sub);

    if (entry == NULL) {
        is("none", expected, topic);
        return;
    }

    snprintf(got, sizeof(got), "%.*s %.*s", (int) entry->kafka.len,
             (char *) entry->kafka.data, (int) sub.len, (char *) sub.data);

    is(got, expected, topic);
}


static void
headers_are(ngx_mqtt_map_uplink_t *up, const char *expected,
    const char *name)
{
    char          got[1024], *p;
    size_t        j;
    ngx_uint_t    i, n;
    ngx_keyval_t  headers[HEADERS];
    u_char        scratch[NGX_MQTT_MAP_SCRATCH];

    n = ngx_mqtt_map_headers(up, headers, scratch);

    ok(n <= ngx_mqtt_map_headers_max(&up->props), "room for the headers");

    p = got;

    for (i = 0; i < n; i++) {
        memcpy(p, headers[i].key.data, headers[i].key.len);
        p += headers[i].key.len;
        *p++ = '=';

        for (j = 0; j < headers[i].value.len; j++) {

            if (headers[i].value.data[j] == '\0') {
                p += sprintf(p, "\\00");

            } else {
                *p++ = (char) headers[i].value.data[j];
            }
        }

        *p++ = '|';
    }

    *p = '\0';

    is(got, expected, name);
}


static void
is(const char *got, const char *expected, const char *name)
{
    ok(strcmp(got, expected) == 0, name);

    if (strcmp(got, expected) != 0) {
        printf("#      got: '%s'\n# expected: '%s'\n", got, expected);
    }
}


static void
ok(int cond, const char *name)
{
    tests++;

    if (!cond) {
        failed++;
    }

    printf("%sok %d - %s\n", cond ? "" : "not ", tests, name);
}
