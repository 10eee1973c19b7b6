
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * User names, signatures and the text that is signed, with the vectors of the
 * contract.
 */

/* sources: auth/ngx_mqtt_signature.c */
/* libs: -lcrypto */


#include "tap.h"
#include "bytes.h"
#include "ngx_mqtt_signature.h"


typedef struct {
    const char  *secret;
    const char  *text;
    const char  *signature;
    ngx_uint_t   valid;
} signature_row_t;


typedef struct {
    const char  *username;
    ngx_int_t    rc;
    const char  *mode;
    const char  *key;
    const char  *instance;
} credential_row_t;


static signature_row_t  signatures[] = {
    { "XXXXX", "GID_Test@@@0001", "vI009IZJZVGRwBwZvnbwjfuXxVM=", 1 },
    { "mySecret", "GID_test@@@device-001", "lWidBc6+m/6VDRTGiRp5LFLZYNE=", 1 },
    { "XXXXX",
      "actions=R,W&expireTime=1568361600000&instanceId=mqtt-xxxxx"
      "&resources=Topic1/+,Topic2/#&serviceName=mq",
      "Vu/H+DQ2EwPr203GgzEG7Y8VMPA=", 1 },
    { "XXXXX",
      "accessKey=YYYYY&instanceId=mqtt-xxxxx&resource=GID_Test@@@0001"
      "&timestamp=1568361600000",
      "BIQBTaRyOissBZPJP00WBksKUN0=", 1 },
    { "XXXXX", "GID_Test@@@0001", "vI009IZJZVGRwBwZvnbwjfuXxVM", 0 },
    { "XXXXX", "GID_Test@@@0001", "vI009IZJZVGRwBwZvnbwjfuXxVN=", 0 },
    { "XXXXX", "GID_Test@@@0001", "VI009IZJZVGRwBwZvnbwjfuXxVM=", 0 },
    { "XXXXX", "GID_Test@@@0001", "vI009IZJZVGRwBwZvnbwjfuXxVM==", 0 },
    { "XXXXX", "GID_Test@@@0001", "", 0 },
    { "XXXXX", "GID_Test@@@0002", "vI009IZJZVGRwBwZvnbwjfuXxVM=", 0 },
    { "XXXXY", "GID_Test@@@0001", "vI009IZJZVGRwBwZvnbwjfuXxVM=", 0 },
};


static credential_row_t  credentials[] = {
    { "Signature|key|mqtt-1", NGX_OK, "Signature", "key", "mqtt-1" },
    { "Token|k|i", NGX_OK, "Token", "k", "i" },
    { "Signature|key", NGX_DECLINED, NULL, NULL, NULL },
    { "Signature", NGX_DECLINED, NULL, NULL, NULL },
    { "", NGX_DECLINED, NULL, NULL, NULL },
    { "|key|mqtt-1", NGX_DECLINED, NULL, NULL, NULL },
    { "Signature||mqtt-1", NGX_DECLINED, NULL, NULL, NULL },
    { "Signature|key|", NGX_DECLINED, NULL, NULL, NULL },
    { "Signature|key|mqtt-1|", NGX_DECLINED, NULL, NULL, NULL },
    { "Signature|key|mqtt-1|x", NGX_DECLINED, NULL, NULL, NULL },
};


static ngx_str_t
str(const char *text)
{
    ngx_str_t  s;

    s.data = (u_char *) text;
    s.len = strlen(text);

    return s;
}


static int
same(ngx_str_t *s, const char *text)
{
    return s->len == strlen(text) && memcmp(s->data, text, s->len) == 0;
}


static void
check_signatures(void)
{
    size_t            i;
    ngx_str_t         secret, text, signature;
    signature_row_t  *row;

    for (i = 0; i < sizeof(signatures) / sizeof(signatures[0]); i++) {
        row = &signatures[i];

        secret = str(row->secret);
        text = str(row->text);
        signature = str(row->signature);

        ok(ngx_mqtt_signature_check(&secret, &text, &signature) == row->valid,
           "\"%s\" is %s", row->signature, row->valid ? "valid" : "not valid");
    }
}


static void
check_credentials(void)
{
    size_t                  i;
    ngx_str_t               username;
    credential_row_t       *row;
    ngx_mqtt_credential_t   credential;

    for (i = 0; i < sizeof(credentials) / sizeof(credentials[0]); i++) {
        row = &credentials[i];
        username = str(row->username);

        if (!ok(ngx_mqtt_credential_parse(&username, &credential) == row->rc,
                "user name \"%s\"", row->username)
            || row->rc != NGX_OK)
        {
            continue;
        }

        ok(same(&credential.mode, row->mode)
           && same(&credential.key, row->key)
           && same(&credential.instance, row->instance), "has its fields");
    }
}


static void
check_text(const char *expected, const char **pairs, ngx_uint_t n)
{
    u_char        text[1024], *p;
    ngx_uint_t    i;
    ngx_keyval_t  params[8];

    for (i = 0; i < n; i++) {
        params[i].key = str(pairs[2 * i]);
        params[i].value = str(pairs[2 * i + 1]);
    }

    p = ngx_mqtt_signature_text(text, params, n);

    if (!ok((size_t) (p - text) == strlen(expected)
            && memcmp(text, expected, p - text) == 0,
            "signed text \"%s\"", expected))
    {
        printf("# got: %.*s\n", (int) (p - text), text);
    }
}


static void
check_texts(void)
{
    const char  *apply[] = {
        "serviceName", "mq", "resources", "Topic2/#,Topic1/+",
        "instanceId", "mqtt-xxxxx", "expireTime", "1568361600000",
        "actions", "W,R"
    };

    const char  *token[] = { "token", "abc" };
    const char  *values[] = { "b", "", "a", "2,1,,2,10,1" };

    check_text("actions=R,W&expireTime=1568361600000&instanceId=mqtt-xxxxx"
               "&resources=Topic1/+,Topic2/#&serviceName=mq", apply, 5);
    check_text("token=abc", token, 1);
    check_text("a=,1,1,10,2,2&b=", values, 2);
    check_text("", NULL, 0);
}


int
main(void)
{
    check_signatures();
    check_credentials();
    check_texts();

    return done_testing();
}
