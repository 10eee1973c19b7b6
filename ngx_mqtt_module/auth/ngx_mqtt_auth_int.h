
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * What the methods of auth share.  A method is a row of the table in
 * ngx_mqtt_auth.c; an entry is one "auth" directive.
 */


#ifndef _NGX_MQTT_AUTH_INT_H_INCLUDED_
#define _NGX_MQTT_AUTH_INT_H_INCLUDED_


#include "ngx_mqtt_auth.h"
#include "ngx_mqtt_jwt.h"
#include "ngx_mqtt_term.h"
#include "ngx_mqtt_signature.h"
#include "ngx_mqtt_token.h"

#if (NGX_THREADS)
#include <ngx_thread_pool.h>
#endif


/* what connect() of a method returns when it has no opinion */

#define NGX_MQTT_AUTH_NEXT             NGX_DONE


typedef struct ngx_mqtt_auth_method_s  ngx_mqtt_auth_method_t;


typedef struct {
    ngx_mqtt_auth_method_t    *method;
    void                      *conf;        /* the method's */
    ngx_uint_t                 last;        /* nobody is asked after it */
    ngx_mqtt_gateway_t        *gateway;
} ngx_mqtt_auth_entry_t;


/* an access key, a line of the file of "auth signature" */

typedef struct {
    ngx_str_t                  id;
    ngx_str_t                  secret;
    ngx_str_t                  instance;
    ngx_mqtt_grant_t           grant;       /* no rules: no restriction */
    ngx_uint_t                 line;
} ngx_mqtt_access_key_t;


typedef struct {
    ngx_str_t                  file;
    ngx_mqtt_access_key_t     *keys;        /* sorted by id */
    ngx_uint_t                 nkeys;
} ngx_mqtt_keys_t;


struct ngx_mqtt_auth_conf_s {
    ngx_array_t                entries;     /* of ngx_mqtt_auth_entry_t */
    ngx_mqtt_keys_t           *keys;        /* NULL: no "auth signature" */
    ngx_array_t               *tokens;      /* of ngx_mqtt_jwt_key_t, the
                                               first one signs, or NULL */
};


/* grants of this worker that end */

typedef struct {
    ngx_rbtree_t               tree;        /* by the time of the event */
    ngx_rbtree_node_t          sentinel;
    ngx_mqtt_hash_t            tokens;      /* by the id of the token */
    ngx_event_t                timer;
} ngx_mqtt_terms_t;


/* what is known of the revoked tokens in Redis */

#define NGX_MQTT_REVOKE_SCORE          31

typedef struct {
    ngx_str_t                  last;        /* the highest score seen */
    u_char                     last_text[NGX_MQTT_REVOKE_SCORE];
    ngx_queue_t                ops;         /* the poll under way */
    ngx_event_t                timer;
} ngx_mqtt_revokes_t;


struct ngx_mqtt_auth_s {
    ngx_uint_t                 nentries;
    ngx_mqtt_auth_entry_t     *entries;
    void                     **states;

    ngx_mqtt_terms_t          terms;
    ngx_mqtt_revokes_t         revokes;
};


/*
 * directive() parses the parameters behind the name of the method.  start()
 * and stop() may be NULL; start() leaves the method's part of the worker in
 * *state.  connect() returns what ngx_mqtt_auth_connect() does, or
 * NGX_MQTT_AUTH_NEXT.
 */

struct ngx_mqtt_auth_method_s {
    ngx_str_t                  name;

    char                    *(*directive)(ngx_conf_t *cf,
                                          ngx_mqtt_auth_entry_t *entry);
    ngx_int_t                (*start)(ngx_mqtt_worker_t *w,
                                      ngx_mqtt_auth_entry_t *entry,
                                      void **state);
    void                     (*stop)(ngx_mqtt_worker_t *w, void *state);
    ngx_int_t                (*connect)(ngx_mqtt_worker_t *w,
                                        ngx_mqtt_auth_entry_t *entry,
                                        void *state,
                                        ngx_mqtt_auth_request_t *req,
                                        ngx_mqtt_op_t *op,
                                        ngx_uint_t *reason);
};


/* ngx_mqtt_auth_password.c */

char *ngx_mqtt_password_directive(ngx_conf_t *cf,
    ngx_mqtt_auth_entry_t *entry);
ngx_int_t ngx_mqtt_password_start(ngx_mqtt_worker_t *w,
    ngx_mqtt_auth_entry_t *entry, void **state);
void ngx_mqtt_password_stop(ngx_mqtt_worker_t *w, void *state);
ngx_int_t ngx_mqtt_password_connect(ngx_mqtt_worker_t *w,
    ngx_mqtt_auth_entry_t *entry, void *state, ngx_mqtt_auth_request_t *req,
    ngx_mqtt_op_t *op, ngx_uint_t *reason);


/* ngx_mqtt_auth_keys.c */

char *ngx_mqtt_keys_directive(ngx_conf_t *cf, ngx_mqtt_auth_entry_t *entry);
ngx_int_t ngx_mqtt_keys_connect(ngx_mqtt_worker_t *w,
    ngx_mqtt_auth_entry_t *entry, void *state, ngx_mqtt_auth_request_t *req,
    ngx_mqtt_op_t *op, ngx_uint_t *reason);

ngx_mqtt_access_key_t *ngx_mqtt_keys_find(ngx_mqtt_keys_t *keys,
    ngx_str_t *id);


/* ngx_mqtt_auth_device.c */

char *ngx_mqtt_device_directive(ngx_conf_t *cf, ngx_mqtt_auth_entry_t *entry);
ngx_int_t ngx_mqtt_device_connect(ngx_mqtt_worker_t *w,
    ngx_mqtt_auth_entry_t *entry, void *state, ngx_mqtt_auth_request_t *req,
    ngx_mqtt_op_t *op, ngx_uint_t *reason);


/* ngx_mqtt_token.c, ngx_mqtt_auth_token.c */

char *ngx_mqtt_token_directive(ngx_conf_t *cf, ngx_mqtt_auth_entry_t *entry);
ngx_int_t ngx_mqtt_token_connect(ngx_mqtt_worker_t *w,
    ngx_mqtt_auth_entry_t *entry, void *state, ngx_mqtt_auth_request_t *req,
    ngx_mqtt_op_t *op, ngx_uint_t *reason);

/* as ngx_mqtt_token_inspect(); *claims is the caller's, or NULL */
ngx_int_t ngx_mqtt_token_verify(ngx_mqtt_gateway_t *gw, ngx_str_t *text,
    ngx_mqtt_token_info_t *info, json_t **claims);


/* ngx_mqtt_auth_jwt.c, ngx_mqtt_auth_certificate.c, ngx_mqtt_auth_http.c */

char *ngx_mqtt_jwt_directive(ngx_conf_t *cf, ngx_mqtt_auth_entry_t *entry);
ngx_int_t ngx_mqtt_jwt_connect(ngx_mqtt_worker_t *w,
    ngx_mqtt_auth_entry_t *entry, void *state, ngx_mqtt_auth_request_t *req,
    ngx_mqtt_op_t *op, ngx_uint_t *reason);

char *ngx_mqtt_certificate_directive(ngx_conf_t *cf,
    ngx_mqtt_auth_entry_t *entry);
ngx_int_t ngx_mqtt_certificate_connect(ngx_mqtt_worker_t *w,
    ngx_mqtt_auth_entry_t *entry, void *state, ngx_mqtt_auth_request_t *req,
    ngx_mqtt_op_t *op, ngx_uint_t *reason);

char *ngx_mqtt_ask_directive(ngx_conf_t *cf, ngx_mqtt_auth_entry_t *entry);
ngx_int_t ngx_mqtt_ask_start(ngx_mqtt_worker_t *w,
    ngx_mqtt_auth_entry_t *entry, void **state);
void ngx_mqtt_ask_stop(ngx_mqtt_worker_t *w, void *state);
ngx_int_t ngx_mqtt_ask_connect(ngx_mqtt_worker_t *w,
    ngx_mqtt_auth_entry_t *entry, void *state, ngx_mqtt_auth_request_t *req,
    ngx_mqtt_op_t *op, ngx_uint_t *reason);


/* ngx_mqtt_term.c, ngx_mqtt_revoke.c */

void ngx_mqtt_terms_init(ngx_mqtt_worker_t *w);
void ngx_mqtt_terms_stop(ngx_mqtt_worker_t *w);
void ngx_mqtt_revoke_init(ngx_mqtt_worker_t *w);
void ngx_mqtt_revoke_stop(ngx_mqtt_worker_t *w);

/* the clients of this worker that have this token are told */
void ngx_mqtt_term_revoke(ngx_mqtt_worker_t *w, ngx_str_t *id);

/* there is a client with a token: Redis is asked for revocations */
void ngx_mqtt_revoke_poll(ngx_mqtt_worker_t *w);


/* ngx_mqtt_auth.c */

/* 1 when the user name has the three fields of a contract mode, this one */
ngx_uint_t ngx_mqtt_auth_mode(ngx_mqtt_auth_request_t *req, ngx_str_t *mode,
    ngx_mqtt_credential_t *credential);

/* the client is another user; NGX_DECLINED: the name is too long */
ngx_int_t ngx_mqtt_auth_set_username(ngx_mqtt_auth_request_t *req,
    ngx_str_t *name);

/* <prefix>{<tag>:<id>}; freed by the caller, key->len bytes */
ngx_int_t ngx_mqtt_auth_redis_key(ngx_mqtt_worker_t *w, const char *tag,
    ngx_str_t *id, ngx_str_t *key);


/* ngx_mqtt_auth_check.c: one password against one hash */

typedef struct ngx_mqtt_checks_s  ngx_mqtt_checks_t;


typedef struct {
    ngx_uint_t                 user;        /* its number in the file */
    ngx_uint_t                 known;       /* 0: only the time counts */
    ngx_str_t                  username;
    ngx_str_t                  hash;        /* ends with a zero byte */
    ngx_str_t                  password;    /* without zero bytes */
} ngx_mqtt_check_request_t;


/* longer ones are refused: libcrypt takes no more either */

#define NGX_MQTT_CHECK_MAX_PASSWORD    511


/* 1 when a check of this hash takes so long that it needs a thread */
ngx_uint_t ngx_mqtt_check_slow(ngx_str_t *hash);

/* NGX_OK, or NGX_DECLINED: no scheme that nginx or libcrypt knows */
ngx_int_t ngx_mqtt_check_supported(ngx_pool_t *pool, ngx_str_t *hash);

/* "pool" is the thread pool, NULL for a file without slow hashes */
ngx_mqtt_checks_t *ngx_mqtt_checks_create(ngx_mqtt_worker_t *w, void *pool,
    ngx_uint_t users);
void ngx_mqtt_checks_destroy(ngx_mqtt_checks_t *checks);

/* returns what ngx_mqtt_auth_connect() does */
ngx_int_t ngx_mqtt_check_password(ngx_mqtt_checks_t *checks,
    ngx_mqtt_check_request_t *cr, ngx_mqtt_op_t *op, ngx_uint_t *reason);


#endif /* _NGX_MQTT_AUTH_INT_H_INCLUDED_ */
