
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Checks of passwords against hashes.
 *
 * (1) A hash that is made to be slow is checked in a thread of nginx's default
 *     thread pool: 50 ms of bcrypt would stop every client of the worker.  At
 *     most NGX_MQTT_CHECK_RUNNING run at a time, and no more than there are
 *     processors, so that reconnecting devices do not starve connected ones
 *     and a worker that has to end does not wait for long.
 *     NGX_MQTT_CHECK_WAITING wait for their turn, and the rest is told that
 *     the server is busy.
 * (2) A thread touches nothing but its check, which nobody frees meanwhile:
 *     an op that was orphaned does not end its check.
 * (3) A slow success is remembered for NGX_MQTT_CHECK_REMEMBER seconds under
 *     a digest keyed by a random number of this process; there is room for
 *     one per user.  The password itself is wiped as soon as it was checked.
 *
 * Called from: ngx_mqtt_auth_password.c, and nginx's thread pool.
 */


#include "ngx_mqtt_auth_int.h"

#include <ngx_crypt.h>

#include <sys/random.h>


#define NGX_MQTT_CHECK_RUNNING     4
#define NGX_MQTT_CHECK_WAITING     512
#define NGX_MQTT_CHECK_REMEMBER    300
#define NGX_MQTT_CHECK_CACHE       65536    /* entries */

#define NGX_MQTT_CHECK_KEY         32


#if (NGX_THREADS && NGX_CRYPT && NGX_HAVE_GNU_CRYPT_R)
#define NGX_MQTT_CHECK_THREADS     1
#endif


typedef struct {
    uint32_t                   expires;     /* 0: empty */
    u_char                     digest[NGX_MQTT_HMAC_SHA1];
} ngx_mqtt_check_cache_t;


struct ngx_mqtt_checks_s {
    ngx_mqtt_worker_t         *worker;
    void                      *thread_pool;

    u_char                     key[NGX_MQTT_CHECK_KEY];
    ngx_mqtt_check_cache_t    *cache;       /* NULL: no slow hash */
    ngx_uint_t                 ncache;

    ngx_queue_t                running;
    ngx_queue_t                waiting;
    ngx_uint_t                 max_running;
    ngx_uint_t                 nrunning;
    ngx_uint_t                 nwaiting;
};


#if (NGX_MQTT_CHECK_THREADS)

/* the hash and the password lie behind it */

typedef struct {
    ngx_queue_t                queue;
    ngx_mqtt_checks_t         *checks;
    ngx_mqtt_op_t             *op;
    size_t                     size;
    ngx_uint_t                 user;
    ngx_uint_t                 known;
    ngx_uint_t                 matched;
    ngx_str_t                  hash;
    ngx_str_t                  password;
    u_char                     digest[NGX_MQTT_HMAC_SHA1];
    ngx_thread_task_t          task;
} ngx_mqtt_check_t;

#endif


static ngx_int_t ngx_mqtt_check_digest(ngx_mqtt_checks_t *checks,
    ngx_mqtt_check_request_t *cr, u_char digest[NGX_MQTT_HMAC_SHA1]);
static ngx_uint_t ngx_mqtt_check_remembered(ngx_mqtt_checks_t *checks,
    ngx_uint_t user, u_char digest[NGX_MQTT_HMAC_SHA1]);
static void ngx_mqtt_check_remember(ngx_mqtt_checks_t *checks,
    ngx_uint_t user, u_char digest[NGX_MQTT_HMAC_SHA1]);
static ngx_int_t ngx_mqtt_check_inline(ngx_mqtt_checks_t *checks,
    ngx_mqtt_check_request_t *cr, ngx_uint_t *reason);
static ngx_uint_t ngx_mqtt_check_crypt(ngx_pool_t *pool, u_char *password,
    ngx_str_t *hash);

#if (NGX_MQTT_CHECK_THREADS)
static ngx_int_t ngx_mqtt_check_queue(ngx_mqtt_checks_t *checks,
    ngx_mqtt_check_request_t *cr, ngx_mqtt_op_t *op, u_char *digest,
    ngx_uint_t *reason);
static void ngx_mqtt_check_run(ngx_mqtt_checks_t *checks);
static void ngx_mqtt_check_thread(void *data, ngx_log_t *log);
static void ngx_mqtt_check_checked(ngx_event_t *ev);
static void ngx_mqtt_check_abandon(ngx_queue_t *queue);
static void ngx_mqtt_check_free(ngx_mqtt_check_t *check);
#endif


ngx_uint_t
ngx_mqtt_check_slow(ngx_str_t *hash)
{
    return hash->data[0] == '$'
           && ngx_strncmp(hash->data, "$apr1$", sizeof("$apr1$") - 1) != 0
           && ngx_strncmp(hash->data, "$1$", sizeof("$1$") - 1) != 0;
}


/* a hash of any password looks like the hash in its form and length */

ngx_int_t
ngx_mqtt_check_supported(ngx_pool_t *pool, ngx_str_t *hash)
{
#if (NGX_CRYPT)

    u_char  *made;

    if (hash->data[0] == '{') {

        if (ngx_strncmp(hash->data, "{PLAIN}", sizeof("{PLAIN}") - 1) == 0) {
            return NGX_OK;
        }

        if (ngx_strncmp(hash->data, "{SHA}", sizeof("{SHA}") - 1) != 0
            && ngx_strncmp(hash->data, "{SSHA}", sizeof("{SSHA}") - 1) != 0)
        {
            return NGX_DECLINED;
        }
    }

    if (ngx_crypt(pool, (u_char *) "", hash->data, &made) != NGX_OK) {
        return NGX_DECLINED;
    }

    /* "*0" and "*1" are how libcrypt says no */

    if (made[0] == '*' || ngx_strlen(made) != hash->len) {
        return NGX_DECLINED;
    }

    return NGX_OK;

#else

    return NGX_DECLINED;

#endif
}


ngx_mqtt_checks_t *
ngx_mqtt_checks_create(ngx_mqtt_worker_t *w, void *pool, ngx_uint_t users)
{
    ngx_mqtt_checks_t  *checks;

    checks = ngx_pcalloc(w->cycle->pool, sizeof(ngx_mqtt_checks_t));
    if (checks == NULL) {
        return NULL;
    }

    checks->worker = w;
    checks->thread_pool = pool;
    checks->max_running = ngx_max(ngx_min(ngx_ncpu, NGX_MQTT_CHECK_RUNNING),
                                  1);

    ngx_queue_init(&checks->running);
    ngx_queue_init(&checks->waiting);

    if (pool == NULL) {
        return checks;
    }

    if (getrandom(checks->key, NGX_MQTT_CHECK_KEY, 0) != NGX_MQTT_CHECK_KEY) {
        ngx_log_error(NGX_LOG_EMERG, w->log, ngx_errno, "getrandom() failed");
        return NULL;
    }

    checks->ncache = ngx_min(users, NGX_MQTT_CHECK_CACHE);

    checks->cache = ngx_pcalloc(w->cycle->pool,
                                checks->ncache
                                * sizeof(ngx_mqtt_check_cache_t));

    return checks->cache ? checks : NULL;
}


/*
 * nginx has ended the threads already: the thread pool is a core module, and
 * those leave their processes before all others.
 */

void
ngx_mqtt_checks_destroy(ngx_mqtt_checks_t *checks)
{
#if (NGX_MQTT_CHECK_THREADS)
    ngx_mqtt_check_abandon(&checks->running);
    ngx_mqtt_check_abandon(&checks->waiting);
#endif

    ngx_explicit_memzero(checks->key, NGX_MQTT_CHECK_KEY);
}


ngx_int_t
ngx_mqtt_check_password(ngx_mqtt_checks_t *checks,
    ngx_mqtt_check_request_t *cr, ngx_mqtt_op_t *op, ngx_uint_t *reason)
{
    u_char  digest[NGX_MQTT_HMAC_SHA1];

    if (checks->cache == NULL || !ngx_mqtt_check_slow(&cr->hash)) {
        return ngx_mqtt_check_inline(checks, cr, reason);
    }

    if (ngx_mqtt_check_digest(checks, cr, digest) != NGX_OK) {
        return NGX_ERROR;
    }

    if (cr->known && ngx_mqtt_check_remembered(checks, cr->user, digest)) {
        ngx_mqtt_check_remember(checks, cr->user, digest);
        return NGX_OK;
    }

#if (NGX_MQTT_CHECK_THREADS)
    return ngx_mqtt_check_queue(checks, cr, op, digest, reason);
#else
    return ngx_mqtt_check_inline(checks, cr, reason);
#endif
}


static ngx_int_t
ngx_mqtt_check_digest(ngx_mqtt_checks_t *checks,
    ngx_mqtt_check_request_t *cr, u_char digest[NGX_MQTT_HMAC_SHA1])
{
    u_char     *p;
    ngx_int_t   rc;
    ngx_str_t   key, text;

    key.data = checks->key;
    key.len = NGX_MQTT_CHECK_KEY;

    text.len = cr->username.len + 1 + cr->hash.len + 1 + cr->password.len;

    text.data = ngx_mqtt_alloc(checks->worker, text.len);
    if (text.data == NULL) {
        return NGX_ERROR;
    }

    /* neither a user name nor a hash contains a zero byte */

    p = ngx_cpymem(text.data, cr->username.data, cr->username.len);
    *p++ = '\0';
    p = ngx_cpymem(p, cr->hash.data, cr->hash.len);
    *p++ = '\0';
    ngx_memcpy(p, cr->password.data, cr->password.len);

    rc = ngx_mqtt_hmac_sha1(&key, &text, digest);

    ngx_explicit_memzero(text.data, text.len);
    ngx_mqtt_free(checks->worker, text.data, text.len);

    return rc;
}


static ngx_uint_t
ngx_mqtt_check_remembered(ngx_mqtt_checks_t *checks, ngx_uint_t user,
    u_char digest[NGX_MQTT_HMAC_SHA1])
{
    ngx_mqtt_check_cache_t  *cache;

    cache = &checks->cache[user % checks->ncache];

    return cache->expires > (uint32_t) ngx_time()
           && ngx_mqtt_auth_equal(cache->digest, digest,
                                  NGX_MQTT_HMAC_SHA1);
}


static void
ngx_mqtt_check_remember(ngx_mqtt_checks_t *checks, ngx_uint_t user,
    u_char digest[NGX_MQTT_HMAC_SHA1])
{
    ngx_mqtt_check_cache_t  *cache;

    cache = &checks->cache[user % checks->ncache];

    cache->expires = (uint32_t) ngx_time() + NGX_MQTT_CHECK_REMEMBER;
    ngx_memcpy(cache->digest, digest, NGX_MQTT_HMAC_SHA1);
}


static ngx_int_t
ngx_mqtt_check_inline(ngx_mqtt_checks_t *checks, ngx_mqtt_check_request_t *cr,
    ngx_uint_t *reason)
{
    u_char       password[NGX_MQTT_CHECK_MAX_PASSWORD + 1];
    ngx_pool_t  *pool;
    ngx_uint_t   matched;

    pool = ngx_create_pool(1024, checks->worker->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    *ngx_cpymem(password, cr->password.data, cr->password.len) = '\0';

    matched = ngx_mqtt_check_crypt(pool, password, &cr->hash);

    ngx_explicit_memzero(password, cr->password.len);
    ngx_destroy_pool(pool);

    if (matched && cr->known) {
        return NGX_OK;
    }

    *reason = NGX_MQTT_BAD_USER_NAME_OR_PASSWORD;

    return NGX_DECLINED;
}


static ngx_uint_t
ngx_mqtt_check_crypt(ngx_pool_t *pool, u_char *password, ngx_str_t *hash)
{
#if (NGX_CRYPT)

    u_char      *made;
    size_t       len;
    ngx_uint_t   matched;

    if (ngx_crypt(pool, password, hash->data, &made) != NGX_OK) {
        return 0;
    }

    len = ngx_strlen(made);

    matched = (len == hash->len && ngx_mqtt_auth_equal(made, hash->data, len));

    /* {PLAIN} is the password itself */

    ngx_explicit_memzero(made, len);

    return matched;

#else

    return 0;

#endif
}


#if (NGX_MQTT_CHECK_THREADS)

static ngx_int_t
ngx_mqtt_check_queue(ngx_mqtt_checks_t *checks, ngx_mqtt_check_request_t *cr,
    ngx_mqtt_op_t *op, u_char *digest, ngx_uint_t *reason)
{
    u_char            *p;
    size_t             size;
    ngx_mqtt_check_t  *check;

    if (checks->nwaiting >= NGX_MQTT_CHECK_WAITING) {
        *reason = NGX_MQTT_SERVER_BUSY;
        return NGX_DECLINED;
    }

    size = sizeof(ngx_mqtt_check_t) + cr->hash.len + cr->password.len + 2;

    check = ngx_mqtt_calloc(checks->worker, size);
    if (check == NULL) {
        return NGX_ERROR;
    }

    check->checks = checks;
    check->op = op;
    check->size = size;
    check->user = cr->user;
    check->known = cr->known;

    ngx_memcpy(check->digest, digest, NGX_MQTT_HMAC_SHA1);

    p = (u_char *) check + sizeof(ngx_mqtt_check_t);

    check->hash.len = cr->hash.len;
    check->hash.data = p;
    p = ngx_cpymem(p, cr->hash.data, cr->hash.len) + 1;

    check->password.len = cr->password.len;
    check->password.data = p;
    ngx_memcpy(p, cr->password.data, cr->password.len);

    check->task.ctx = check;
    check->task.handler = ngx_mqtt_check_thread;
    check->task.event.handler = ngx_mqtt_check_checked;
    check->task.event.data = check;
    check->task.event.log = checks->worker->log;

    ngx_queue_insert_tail(&checks->waiting, &check->queue);
    checks->nwaiting++;

    ngx_mqtt_check_run(checks);

    return NGX_AGAIN;
}


static void
ngx_mqtt_check_run(ngx_mqtt_checks_t *checks)
{
    ngx_queue_t       *q;
    ngx_mqtt_check_t  *check;

    while (checks->nrunning < checks->max_running && checks->nwaiting) {

        q = ngx_queue_head(&checks->waiting);
        check = ngx_queue_data(q, ngx_mqtt_check_t, queue);

        ngx_queue_remove(q);
        checks->nwaiting--;

        /* nobody waits for the answer anymore, or the pool is full */

        if (check->op->done == NULL
            || ngx_thread_task_post(checks->thread_pool, &check->task)
               != NGX_OK)
        {
            ngx_mqtt_op_post(check->op, NGX_DECLINED, NGX_MQTT_SERVER_BUSY);
            ngx_mqtt_check_free(check);
            continue;
        }

        ngx_queue_insert_tail(&checks->running, &check->queue);
        checks->nrunning++;
    }
}


/* in a thread */

static void
ngx_mqtt_check_thread(void *data, ngx_log_t *log)
{
    ngx_mqtt_check_t *check = data;

    u_char              *made;
    struct crypt_data    cd;

    cd.initialized = 0;

    made = (u_char *) crypt_r((char *) check->password.data,
                              (char *) check->hash.data, &cd);

    check->matched = made && ngx_strlen(made) == check->hash.len
                     && ngx_mqtt_auth_equal(made, check->hash.data,
                                            check->hash.len);

    ngx_explicit_memzero(&cd, sizeof(struct crypt_data));
}


static void
ngx_mqtt_check_checked(ngx_event_t *ev)
{
    ngx_mqtt_op_t      *op;
    ngx_uint_t          accepted;
    ngx_mqtt_check_t   *check;
    ngx_mqtt_checks_t  *checks;

    check = ev->data;
    checks = check->checks;
    op = check->op;

    accepted = check->matched && check->known;

    if (accepted) {
        ngx_mqtt_check_remember(checks, check->user, check->digest);
    }

    ngx_queue_remove(&check->queue);
    checks->nrunning--;

    ngx_mqtt_check_free(check);
    ngx_mqtt_check_run(checks);

    if (accepted) {
        ngx_mqtt_op_complete(op, NGX_OK, NGX_MQTT_SUCCESS, NULL);

    } else {
        ngx_mqtt_op_complete(op, NGX_DECLINED,
                             NGX_MQTT_BAD_USER_NAME_OR_PASSWORD, NULL);
    }
}


static void
ngx_mqtt_check_abandon(ngx_queue_t *queue)
{
    ngx_queue_t       *q;
    ngx_mqtt_check_t  *check;

    while (!ngx_queue_empty(queue)) {
        q = ngx_queue_head(queue);
        check = ngx_queue_data(q, ngx_mqtt_check_t, queue);

        ngx_queue_remove(q);

        ngx_mqtt_op_post(check->op, NGX_DECLINED,
                         NGX_MQTT_SERVER_SHUTTING_DOWN);
        ngx_mqtt_check_free(check);
    }
}


static void
ngx_mqtt_check_free(ngx_mqtt_check_t *check)
{
    ngx_explicit_memzero(check->password.data, check->password.len);
    ngx_mqtt_free(check->checks->worker, check, check->size);
}

#endif
