
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Signatures of the contract: Base64(HMAC-SHA1(secret, text)), and what they
 * are made of.  Pure functions.
 */


#ifndef _NGX_MQTT_SIGNATURE_H_INCLUDED_
#define _NGX_MQTT_SIGNATURE_H_INCLUDED_


#include "ngx_mqtt_wire.h"


#define NGX_MQTT_HMAC_SHA1             20
#define NGX_MQTT_SIGNATURE_LEN         28      /* Base64 with the padding */


/* the user name of a device: mode|access key id|instance id */

typedef struct {
    ngx_str_t            mode;
    ngx_str_t            key;
    ngx_str_t            instance;
} ngx_mqtt_credential_t;


/* NGX_DECLINED: not three fields that are not empty */
ngx_int_t ngx_mqtt_credential_parse(ngx_str_t *username,
    ngx_mqtt_credential_t *credential);

/* NGX_ERROR: the library has failed */
ngx_int_t ngx_mqtt_hmac_sha1(ngx_str_t *key, ngx_str_t *text,
    u_char digest[NGX_MQTT_HMAC_SHA1]);

/* the time it takes depends on the length only */
ngx_uint_t ngx_mqtt_auth_equal(u_char *a, u_char *b, size_t len);

/* 1 when it is the signature of the text; the time it takes depends on the
   lengths only */
ngx_uint_t ngx_mqtt_signature_check(ngx_str_t *secret, ngx_str_t *text,
    ngx_str_t *signature);

/*
 * The text that a request to the token service signs: "k=v" sorted by key and
 * joined by "&", the comma-separated values of a key sorted.  Both are sorted
 * in place.  "p" has room for what was passed, with "=" and "&"; returns the
 * new cursor.
 */
u_char *ngx_mqtt_signature_text(u_char *p, ngx_keyval_t *params,
    ngx_uint_t nparams);


#endif /* _NGX_MQTT_SIGNATURE_H_INCLUDED_ */
