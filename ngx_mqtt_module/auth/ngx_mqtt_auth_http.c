
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * auth http URL: an external service decides.
 *
 * (1) It is asked by POST with JSON, and answers with JSON; whatever is no
 *     clear answer refuses the client, with "server unavailable".
 * (2) Answers are remembered under a digest of the whole question, keyed by a
 *     random number of this process: what was said of one password is not said
 *     of another.  Their number and their time are bounded.
 * (3) So is the number of requests under way: who is over it is told that the
 *     server is busy.
 *
 * Called from: ngx_mqtt_auth.c, answers of the service.
 */


#include "ngx_mqtt_auth_int.h"
#include "ngx_mqtt_http.h"

#include <sys/random.h>


#define NGX_MQTT_ASK_RUNNING   256
#define NGX_MQTT_ASK_ANSWER    4096    /* longer ones are not remembered */
#define NGX_MQTT_ASK_KEY       32


typedef struct {
    ngx_str_t                  url;
    ngx_addr_t                *addrs;
    ngx_uint_t                 naddrs;
    ngx_str_t                  host;
    ngx_str_t                  uri;
    ngx_msec_t                 timeout;
    time_t                     cache;       /* seconds, 0: nothing */
    ngx_int_t                  entries;
} ngx_mqtt_ask_conf_t;


/* an answer; its text lies behind it */

typedef struct {
    ngx_mqtt_hash_node_t       node;
    ngx_queue_t                queue;       /* oldest first */
    time_t                     expires;
    ngx_str_t                  text;
    u_char                     digest[NGX_MQTT_HMAC_SHA1];
} ngx_mqtt_ask_answer_t;


typedef struct {
    ngx_mqtt_worker_t         *worker;
    ngx_mqtt_ask_conf_t       *conf;
    ngx_queue_t                requests;
    ngx_uint_t                 running;
    ngx_uint_t                 next;        /* address */

    ngx_mqtt_hash_t            answers;
    ngx_queue_t                oldest;
    u_char                     key[NGX_MQTT_ASK_KEY];
} ngx_mqtt_ask_state_t;


/* a question under way */

typedef struct {
    ngx_mqtt_op_t             *op;          /* the caller's */
    ngx_mqtt_ask_state_t      *state;
    u_char                     digest[NGX_MQTT_HMAC_SHA1];
} ngx_mqtt_ask_t;


static ngx_int_t ngx_mqtt_ask_url(ngx_conf_t *cf, ngx_mqtt_ask_conf_t *acf);
static ngx_int_t ngx_mqtt_ask_parameter(ngx_conf_t *cf,
    ngx_mqtt_ask_conf_t *acf, ngx_str_t *value);
static json_t *ngx_mqtt_ask_question(ngx_mqtt_worker_t *w,
    ngx_mqtt_auth_request_t *req);
static ngx_int_t ngx_mqtt_ask_send(ngx_mqtt_ask_state_t *state,
    ngx_str_t *text, u_char *digest, ngx_mqtt_op_t *op);
static void ngx_mqtt_ask_answered(ngx_mqtt_op_t *op);
static ngx_int_t ngx_mqtt_ask_evaluate(ngx_mqtt_worker_t *w, ngx_str_t *text,
    ngx_mqtt_auth_request_t *req, ngx_uint_t *reason);
static ngx_int_t ngx_mqtt_ask_allowed(ngx_mqtt_worker_t *w, json_t *json,
    ngx_mqtt_auth_request_t *req);
static ngx_mqtt_ask_answer_t *ngx_mqtt_ask_find(ngx_mqtt_ask_state_t *state,
    u_char *digest);
static void ngx_mqtt_ask_remember(ngx_mqtt_ask_state_t *state, u_char *digest,
    ngx_str_t *text);
static void ngx_mqtt_ask_forget(ngx_mqtt_ask_state_t *state,
    ngx_mqtt_ask_answer_t *answer);


static ngx_str_t  ngx_mqtt_ask_result = ngx_string("result");
static ngx_str_t  ngx_mqtt_ask_username = ngx_string("username");
static ngx_str_t  ngx_mqtt_ask_actions = ngx_string("actions");


char *
ngx_mqtt_ask_directive(ngx_conf_t *cf, ngx_mqtt_auth_entry_t *entry)
{
    ngx_str_t            *value;
    ngx_uint_t            i;
    ngx_mqtt_ask_conf_t  *acf;

    if (cf->args->nelts < 3) {
        return "method \"http\" needs a URL";
    }

    acf = ngx_pcalloc(cf->pool, sizeof(ngx_mqtt_ask_conf_t));
    if (acf == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    acf->url = value[2];
    acf->timeout = 3000;
    acf->cache = 0;
    acf->entries = 10000;

    if (ngx_mqtt_ask_url(cf, acf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    for (i = 3; i < cf->args->nelts; i++) {

        if (ngx_mqtt_ask_parameter(cf, acf, &value[i]) != NGX_OK) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }
    }

    entry->conf = acf;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_mqtt_ask_url(ngx_conf_t *cf, ngx_mqtt_ask_conf_t *acf)
{
    ngx_url_t  u;

    if (acf->url.len <= sizeof("http://") - 1
        || ngx_strncasecmp(acf->url.data, (u_char *) "http://",
                           sizeof("http://") - 1)
           != 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid URL \"%V\", it must begin with http://",
                           &acf->url);
        return NGX_ERROR;
    }

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url.data = acf->url.data + sizeof("http://") - 1;
    u.url.len = acf->url.len - (sizeof("http://") - 1);
    u.default_port = 80;
    u.uri_part = 1;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s in \"%V\"",
                           u.err ? u.err : "no memory", &acf->url);
        return NGX_ERROR;
    }

    acf->addrs = u.addrs;
    acf->naddrs = u.naddrs;

    acf->host.data = u.url.data;
    acf->host.len = u.url.len - u.uri.len;

    acf->uri = u.uri;

    if (acf->uri.len == 0) {
        ngx_str_set(&acf->uri, "/");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_ask_parameter(ngx_conf_t *cf, ngx_mqtt_ask_conf_t *acf,
    ngx_str_t *value)
{
    ngx_int_t  n;
    ngx_str_t  s;

    if (ngx_strncmp(value->data, "timeout=", 8) == 0) {
        s.data = value->data + 8;
        s.len = value->len - 8;

        n = ngx_parse_time(&s, 0);
        acf->timeout = (ngx_msec_t) n;

        return (n == NGX_ERROR || n == 0) ? NGX_ERROR : NGX_OK;
    }

    if (ngx_strncmp(value->data, "cache=", 6) == 0) {
        s.data = value->data + 6;
        s.len = value->len - 6;

        n = ngx_parse_time(&s, 1);
        acf->cache = n;

        return (n == NGX_ERROR) ? NGX_ERROR : NGX_OK;
    }

    if (ngx_strncmp(value->data, "entries=", 8) == 0) {
        acf->entries = ngx_atoi(value->data + 8, value->len - 8);

        return (acf->entries == NGX_ERROR || acf->entries == 0) ? NGX_ERROR
                                                                : NGX_OK;
    }

    return NGX_ERROR;
}


ngx_int_t
ngx_mqtt_ask_start(ngx_mqtt_worker_t *w, ngx_mqtt_auth_entry_t *entry,
    void **state)
{
    ngx_mqtt_ask_state_t  *as;

    as = ngx_pcalloc(w->cycle->pool, sizeof(ngx_mqtt_ask_state_t));
    if (as == NULL) {
        return NGX_ERROR;
    }

    as->worker = w;
    as->conf = entry->conf;

    ngx_queue_init(&as->requests);
    ngx_queue_init(&as->oldest);

    if (getrandom(as->key, NGX_MQTT_ASK_KEY, 0) != NGX_MQTT_ASK_KEY) {
        ngx_log_error(NGX_LOG_EMERG, w->log, ngx_errno, "getrandom() failed");
        return NGX_ERROR;
    }

    *state = as;

    return NGX_OK;
}


void
ngx_mqtt_ask_stop(ngx_mqtt_worker_t *w, void *state)
{
    ngx_queue_t           *q;
    ngx_mqtt_ask_state_t  *as;

    as = state;

    ngx_mqtt_http_stop(&as->requests);

    while (!ngx_queue_empty(&as->oldest)) {
        q = ngx_queue_head(&as->oldest);
        ngx_mqtt_ask_forget(as, ngx_queue_data(q, ngx_mqtt_ask_answer_t,
                                               queue));
    }

    ngx_mqtt_hash_free(&as->answers);
}


ngx_int_t
ngx_mqtt_ask_connect(ngx_mqtt_worker_t *w, ngx_mqtt_auth_entry_t *entry,
    void *state, ngx_mqtt_auth_request_t *req, ngx_mqtt_op_t *op,
    ngx_uint_t *reason)
{
    char                   *text;
    u_char                  digest[NGX_MQTT_HMAC_SHA1];
    json_t                 *json;
    ngx_int_t               rc;
    ngx_str_t               key, question;
    ngx_mqtt_ask_state_t   *as;
    ngx_mqtt_ask_answer_t  *answer;

    as = state;

    json = ngx_mqtt_ask_question(w, req);

    if (json == NULL) {

        /* a password that is no UTF-8 cannot be asked for */

        *reason = NGX_MQTT_BAD_USER_NAME_OR_PASSWORD;
        return NGX_DECLINED;
    }

    text = json_dumps(json, JSON_COMPACT);
    json_decref(json);

    if (text == NULL) {
        return NGX_ERROR;
    }

    question.data = (u_char *) text;
    question.len = ngx_strlen(text);

    key.data = as->key;
    key.len = NGX_MQTT_ASK_KEY;

    rc = ngx_mqtt_hmac_sha1(&key, &question, digest);

    if (rc == NGX_OK) {
        answer = ngx_mqtt_ask_find(as, digest);

        if (answer) {
            rc = ngx_mqtt_ask_evaluate(w, &answer->text, req, reason);

        } else if (as->running >= NGX_MQTT_ASK_RUNNING) {
            *reason = NGX_MQTT_SERVER_BUSY;
            rc = NGX_DECLINED;

        } else {
            rc = ngx_mqtt_ask_send(as, &question, digest, op);
        }
    }

    ngx_explicit_memzero(text, question.len);
    free(text);

    return rc;
}


static json_t *
ngx_mqtt_ask_question(ngx_mqtt_worker_t *w, ngx_mqtt_auth_request_t *req)
{
    int         rc;
    json_t     *json;
    ngx_str_t  *addr;

    json = json_object();
    addr = &req->connection->addr_text;

    rc = json_object_set_new(json, "gateway",
                             json_stringn((char *) w->gateway->name.data,
                                          w->gateway->name.len));
    rc |= json_object_set_new(json, "address",
                              json_stringn((char *) addr->data, addr->len));
    rc |= json_object_set_new(json, "clientId",
                              json_stringn((char *) req->client_id.data,
                                           req->client_id.len));

    if (req->has_username) {
        rc |= json_object_set_new(json, "username",
                                  json_stringn((char *) req->username.data,
                                               req->username.len));
    }

    if (req->has_password) {
        rc |= json_object_set_new(json, "password",
                                  json_stringn((char *) req->password.data,
                                               req->password.len));
    }

    if (rc != 0) {
        json_decref(json);
        return NULL;
    }

    return json;
}


static ngx_int_t
ngx_mqtt_ask_send(ngx_mqtt_ask_state_t *state, ngx_str_t *text,
    u_char *digest, ngx_mqtt_op_t *op)
{
    ngx_int_t             rc;
    ngx_addr_t           *addr;
    ngx_mqtt_op_t        *http_op;
    ngx_mqtt_ask_t       *ask;
    ngx_mqtt_ask_conf_t  *acf;

    acf = state->conf;

    ask = ngx_mqtt_alloc(state->worker, sizeof(ngx_mqtt_ask_t));
    if (ask == NULL) {
        return NGX_ERROR;
    }

    ask->op = op;
    ask->state = state;
    ngx_memcpy(ask->digest, digest, NGX_MQTT_HMAC_SHA1);

    http_op = ngx_mqtt_op_get(state->worker, NULL, ngx_mqtt_ask_answered, ask);
    rc = NGX_ERROR;

    if (http_op) {
        addr = &acf->addrs[state->next++ % acf->naddrs];

        rc = ngx_mqtt_http_post(state->worker, addr, &acf->host, &acf->uri,
                                text, acf->timeout, &state->requests,
                                http_op);

        if (rc == NGX_OK) {
            state->running++;
            return NGX_AGAIN;
        }

        ngx_mqtt_op_cancel(http_op);
    }

    ngx_mqtt_free(state->worker, ask, sizeof(ngx_mqtt_ask_t));

    return rc;
}


static void
ngx_mqtt_ask_answered(ngx_mqtt_op_t *op)
{
    ngx_int_t                 rc;
    ngx_uint_t                reason;
    ngx_mqtt_ask_t           *ask;
    ngx_mqtt_worker_t        *w;
    ngx_mqtt_http_answer_t   *answer;
    ngx_mqtt_auth_request_t   req;

    w = op->worker;
    ask = op->data;
    answer = op->result;

    ask->state->running--;

    ngx_memzero(&req.result, sizeof(ngx_mqtt_auth_result_t));

    rc = NGX_DECLINED;
    reason = NGX_MQTT_SERVER_UNAVAILABLE;

    if (op->rc == NGX_OK && answer->status == 200) {
        rc = ngx_mqtt_ask_evaluate(w, &answer->body, &req, &reason);

        if (reason != NGX_MQTT_SERVER_UNAVAILABLE) {
            ngx_mqtt_ask_remember(ask->state, ask->digest, &answer->body);
        }

    } else if (op->rc == NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, w->log, 0,
                      "authentication service answered with status %ui",
                      answer->status);
    }

    ngx_mqtt_op_complete(ask->op, rc, reason, &req.result);

    ngx_mqtt_grant_free(w, req.result.grant);
    ngx_mqtt_free(w, ask, sizeof(ngx_mqtt_ask_t));
}


/* what an answer means; SERVER_UNAVAILABLE: nothing that is understood */

static ngx_int_t
ngx_mqtt_ask_evaluate(ngx_mqtt_worker_t *w, ngx_str_t *text,
    ngx_mqtt_auth_request_t *req, ngx_uint_t *reason)
{
    json_t     *json;
    ngx_int_t   rc;
    ngx_str_t   result;

    *reason = NGX_MQTT_SERVER_UNAVAILABLE;

    rc = NGX_DECLINED;

    json = json_loadb((char *) text->data, text->len, JSON_REJECT_DUPLICATES,
                      NULL);

    if (ngx_mqtt_jwt_string(json, &ngx_mqtt_ask_result, &result) == NGX_OK) {

        if (result.len == 5 && ngx_strncmp(result.data, "allow", 5) == 0) {
            rc = ngx_mqtt_ask_allowed(w, json, req);

            if (rc == NGX_OK) {
                *reason = NGX_MQTT_SUCCESS;
            }

        } else if (result.len == 4
                   && ngx_strncmp(result.data, "deny", 4) == 0)
        {
            *reason = NGX_MQTT_BAD_USER_NAME_OR_PASSWORD;
        }
    }

    json_decref(json);

    if (*reason == NGX_MQTT_SERVER_UNAVAILABLE) {
        ngx_log_error(NGX_LOG_ERR, w->log, 0,
                      "answer of the authentication service is not "
                      "understood");
    }

    return rc;
}


static ngx_int_t
ngx_mqtt_ask_allowed(ngx_mqtt_worker_t *w, json_t *json,
    ngx_mqtt_auth_request_t *req)
{
    json_t      *resources;
    ngx_str_t    text;
    ngx_uint_t   actions;

    if (json_object_get(json, "username")
        && (ngx_mqtt_jwt_string(json, &ngx_mqtt_ask_username, &text) != NGX_OK
            || ngx_mqtt_auth_set_username(req, &text) != NGX_OK))
    {
        return NGX_DECLINED;
    }

    resources = json_object_get(json, "resources");

    if (resources == NULL) {
        return NGX_OK;
    }

    actions = NGX_MQTT_GRANT_BOTH;

    if (json_object_get(json, "actions")) {
        actions = 0;

        if (ngx_mqtt_jwt_string(json, &ngx_mqtt_ask_actions, &text)
            == NGX_OK)
        {
            actions = ngx_mqtt_jwt_actions(&text);
        }
    }

    if (actions) {
        req->result.grant = ngx_mqtt_jwt_grant(w, resources, actions);
    }

    return req->result.grant ? NGX_OK : NGX_DECLINED;
}


static ngx_mqtt_ask_answer_t *
ngx_mqtt_ask_find(ngx_mqtt_ask_state_t *state, u_char *digest)
{
    ngx_str_t               key;
    ngx_mqtt_hash_node_t   *node;
    ngx_mqtt_ask_answer_t  *answer;

    key.data = digest;
    key.len = NGX_MQTT_HMAC_SHA1;

    node = ngx_mqtt_hash_find(&state->answers, &key);

    if (node == NULL) {
        return NULL;
    }

    answer = (ngx_mqtt_ask_answer_t *) ((u_char *) node
                                     - offsetof(ngx_mqtt_ask_answer_t, node));

    if (answer->expires <= ngx_time()) {
        ngx_mqtt_ask_forget(state, answer);
        return NULL;
    }

    return answer;
}


static void
ngx_mqtt_ask_remember(ngx_mqtt_ask_state_t *state, u_char *digest,
    ngx_str_t *text)
{
    ngx_queue_t            *q;
    ngx_mqtt_ask_answer_t  *answer;

    if (state->conf->cache == 0 || text->len > NGX_MQTT_ASK_ANSWER
        || ngx_mqtt_ask_find(state, digest))
    {
        return;
    }

    if (state->answers.count >= (ngx_uint_t) state->conf->entries) {
        q = ngx_queue_head(&state->oldest);
        ngx_mqtt_ask_forget(state, ngx_queue_data(q, ngx_mqtt_ask_answer_t,
                                                  queue));
    }

    /* not the worker's memory, which is nobody's when no client is there */

    answer = ngx_alloc(sizeof(ngx_mqtt_ask_answer_t) + text->len,
                       state->worker->log);
    if (answer == NULL) {
        return;
    }

    ngx_memzero(answer, sizeof(ngx_mqtt_ask_answer_t));
    ngx_memcpy(answer->digest, digest, NGX_MQTT_HMAC_SHA1);

    answer->expires = ngx_time() + state->conf->cache;

    answer->text.data = (u_char *) &answer[1];
    answer->text.len = text->len;
    ngx_memcpy(answer->text.data, text->data, text->len);

    answer->node.key.data = answer->digest;
    answer->node.key.len = NGX_MQTT_HMAC_SHA1;

    ngx_queue_insert_tail(&state->oldest, &answer->queue);

    if (ngx_mqtt_hash_insert(&state->answers, &answer->node) != NGX_OK) {
        ngx_queue_remove(&answer->queue);
        ngx_free(answer);
    }
}


static void
ngx_mqtt_ask_forget(ngx_mqtt_ask_state_t *state, ngx_mqtt_ask_answer_t *answer)
{
    ngx_queue_remove(&answer->queue);
    ngx_mqtt_hash_remove(&state->answers, &answer->node);

    ngx_free(answer);
}
