
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * auth password FILE: users and hashes of their passwords, one "user:hash" in
 * a line as htpasswd writes them.
 *
 * (1) The file is read with the configuration, by the master, and every line
 *     is checked then; nothing is read at run time.
 * (2) The users are an array sorted by name, read-only once the cycle runs;
 *     names and hashes point into one copy of the file.
 * (3) A user that is not in the file costs as much time as one that is, if
 *     nobody else can know him: his password is checked against the hash of
 *     somebody else, always the same one.
 *
 * Called from: ngx_mqtt_auth.c.
 */


#include "ngx_mqtt_auth_int.h"
#include "ngx_mqtt_auth_file.h"


typedef struct {
    ngx_str_t                  name;
    ngx_str_t                  hash;        /* ends with a zero byte */
    ngx_uint_t                 line;
} ngx_mqtt_user_t;


typedef struct {
    ngx_str_t                  file;
    ngx_mqtt_user_t           *users;       /* sorted by name */
    ngx_uint_t                 nusers;
#if (NGX_THREADS)
    ngx_thread_pool_t         *thread_pool; /* NULL: no slow hash */
#endif
} ngx_mqtt_password_conf_t;


static ngx_mqtt_user_t *ngx_mqtt_password_find(ngx_mqtt_password_conf_t *pcf,
    ngx_str_t *name);

static ngx_int_t ngx_mqtt_password_parse(ngx_conf_t *cf,
    ngx_mqtt_password_conf_t *pcf, ngx_str_t *text);
static const char *ngx_mqtt_password_line(u_char *p, u_char *last,
    ngx_mqtt_user_t *user);
static ngx_int_t ngx_mqtt_password_sort(ngx_conf_t *cf,
    ngx_mqtt_password_conf_t *pcf);
static int ngx_libc_cdecl ngx_mqtt_password_cmp(const void *one,
    const void *two);
static ngx_int_t ngx_mqtt_password_check_hashes(ngx_conf_t *cf,
    ngx_mqtt_password_conf_t *pcf);
static ngx_uint_t ngx_mqtt_password_chars(ngx_str_t *hash);
static ngx_uint_t ngx_mqtt_password_tried(ngx_array_t *tried,
    ngx_str_t *hash);
static ngx_uint_t ngx_mqtt_password_same_scheme(ngx_str_t *a, ngx_str_t *b);


char *
ngx_mqtt_password_directive(ngx_conf_t *cf, ngx_mqtt_auth_entry_t *entry)
{
    ngx_str_t                 *value, text;
    ngx_mqtt_password_conf_t  *pcf;

#if !(NGX_CRYPT)
    return "method \"password\" needs nginx built with crypt()";
#endif

    if (cf->args->nelts != 3) {
        return "method \"password\" takes one parameter, the file";
    }

    value = cf->args->elts;

    pcf = ngx_pcalloc(cf->pool, sizeof(ngx_mqtt_password_conf_t));
    if (pcf == NULL) {
        return NGX_CONF_ERROR;
    }

    pcf->file = value[2];

    if (ngx_mqtt_auth_file_read(cf, &pcf->file, &text) != NGX_OK
        || ngx_mqtt_password_parse(cf, pcf, &text) != NGX_OK
        || ngx_mqtt_password_sort(cf, pcf) != NGX_OK
        || ngx_mqtt_password_check_hashes(cf, pcf) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    entry->conf = pcf;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_mqtt_password_start(ngx_mqtt_worker_t *w, ngx_mqtt_auth_entry_t *entry,
    void **state)
{
    void                      *pool;
    ngx_mqtt_password_conf_t  *pcf;

    pcf = entry->conf;
    pool = NULL;

#if (NGX_THREADS)
    pool = pcf->thread_pool;
#endif

    *state = ngx_mqtt_checks_create(w, pool, pcf->nusers);

    return *state ? NGX_OK : NGX_ERROR;
}


void
ngx_mqtt_password_stop(ngx_mqtt_worker_t *w, void *state)
{
    ngx_mqtt_checks_destroy(state);
}


ngx_int_t
ngx_mqtt_password_connect(ngx_mqtt_worker_t *w, ngx_mqtt_auth_entry_t *entry,
    void *state, ngx_mqtt_auth_request_t *req, ngx_mqtt_op_t *op,
    ngx_uint_t *reason)
{
    ngx_mqtt_user_t           *user;
    ngx_mqtt_check_request_t   cr;
    ngx_mqtt_password_conf_t  *pcf;

    pcf = entry->conf;

    if (!req->has_username || pcf->nusers == 0) {
        return NGX_MQTT_AUTH_NEXT;
    }

    user = ngx_mqtt_password_find(pcf, &req->username);

    cr.known = (user != NULL);

    if (user == NULL) {

        if (!entry->last) {
            return NGX_MQTT_AUTH_NEXT;
        }

        user = &pcf->users[ngx_mqtt_hash_key(req->username.data,
                                             req->username.len)
                           % pcf->nusers];
    }

    /* crypt() would compare what is in front of a zero byte only */

    if (!req->has_password
        || req->password.len > NGX_MQTT_CHECK_MAX_PASSWORD
        || ngx_strlchr(req->password.data,
                       req->password.data + req->password.len, '\0'))
    {
        *reason = NGX_MQTT_BAD_USER_NAME_OR_PASSWORD;
        return NGX_DECLINED;
    }

    cr.user = user - pcf->users;
    cr.username = req->username;
    cr.hash = user->hash;
    cr.password = req->password;

    return ngx_mqtt_check_password(state, &cr, op, reason);
}


static ngx_mqtt_user_t *
ngx_mqtt_password_find(ngx_mqtt_password_conf_t *pcf, ngx_str_t *name)
{
    ngx_int_t         rc;
    ngx_uint_t        low, high, middle;
    ngx_mqtt_user_t  *user;

    low = 0;
    high = pcf->nusers;

    while (low < high) {
        middle = low + (high - low) / 2;
        user = &pcf->users[middle];

        rc = ngx_memn2cmp(name->data, user->name.data, name->len,
                          user->name.len);

        if (rc == 0) {
            return user;
        }

        if (rc < 0) {
            high = middle;

        } else {
            low = middle + 1;
        }
    }

    return NULL;
}


static ngx_int_t
ngx_mqtt_password_parse(ngx_conf_t *cf, ngx_mqtt_password_conf_t *pcf,
    ngx_str_t *text)
{
    u_char           *p, *last, *eol;
    const char       *error;
    ngx_uint_t        line;
    ngx_array_t       users;
    ngx_mqtt_user_t  *user;

    if (ngx_array_init(&users, cf->pool, 64, sizeof(ngx_mqtt_user_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    p = text->data;
    last = text->data + text->len;

    for (line = 1; p < last; line++, p = eol + 1) {

        eol = ngx_strlchr(p, last, LF);

        if (eol == p || *p == '#' || (*p == CR && eol == p + 1)) {
            continue;
        }

        user = ngx_array_push(&users);
        if (user == NULL) {
            return NGX_ERROR;
        }

        user->line = line;

        error = ngx_mqtt_password_line(p, eol, user);

        if (error) {
            return ngx_mqtt_auth_file_error(cf, &pcf->file, line, error);
        }
    }

    pcf->users = users.elts;
    pcf->nusers = users.nelts;

    return NGX_OK;
}


/* user:hash, and whatever follows a second colon */

static const char *
ngx_mqtt_password_line(u_char *p, u_char *last, ngx_mqtt_user_t *user)
{
    u_char  *colon;

    if (last[-1] == CR) {
        last--;
    }

    colon = ngx_strlchr(p, last, ':');

    if (colon == NULL) {
        return "no colon";
    }

    user->name.data = p;
    user->name.len = colon - p;

    user->hash.data = colon + 1;

    /* a plain password may contain a colon, a hash may not */

    colon = NULL;

    if ((size_t) (last - user->hash.data) < sizeof("{PLAIN}") - 1
        || ngx_strncmp(user->hash.data, "{PLAIN}", sizeof("{PLAIN}") - 1)
           != 0)
    {
        colon = ngx_strlchr(user->hash.data, last, ':');
    }

    if (colon) {
        last = colon;
    }

    user->hash.len = last - user->hash.data;

    if (user->name.len == 0) {
        return "no user name";
    }

    if (user->hash.len == 0) {
        return "no password hash";
    }

    if (ngx_strlchr(p, last, '\0')) {
        return "a zero byte";
    }

    /* in place of the line feed, the carriage return or the colon */

    *last = '\0';

    return NULL;
}


static ngx_int_t
ngx_mqtt_password_sort(ngx_conf_t *cf, ngx_mqtt_password_conf_t *pcf)
{
    ngx_uint_t        i;
    ngx_mqtt_user_t  *user;

    if (pcf->nusers == 0) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0, "no user in \"%V\"",
                           &pcf->file);
        return NGX_OK;
    }

    ngx_qsort(pcf->users, pcf->nusers, sizeof(ngx_mqtt_user_t),
              ngx_mqtt_password_cmp);

    for (i = 1; i < pcf->nusers; i++) {
        user = &pcf->users[i];

        if (user->name.len == user[-1].name.len
            && ngx_memcmp(user->name.data, user[-1].name.data, user->name.len)
               == 0)
        {
            return ngx_mqtt_auth_file_error(cf, &pcf->file, user->line,
                                            "duplicate user");
        }
    }

    return NGX_OK;
}


static int ngx_libc_cdecl
ngx_mqtt_password_cmp(const void *one, const void *two)
{
    ngx_int_t         rc;
    ngx_mqtt_user_t  *first, *second;

    first = (ngx_mqtt_user_t *) one;
    second = (ngx_mqtt_user_t *) two;

    rc = ngx_memn2cmp(first->name.data, second->name.data, first->name.len,
                      second->name.len);

    return rc ? (int) rc : (int) first->line - (int) second->line;
}


/* trying a hash may take a while: one of those alike is enough */

static ngx_int_t
ngx_mqtt_password_check_hashes(ngx_conf_t *cf, ngx_mqtt_password_conf_t *pcf)
{
    ngx_str_t        **hash;
    ngx_uint_t         i;
    ngx_array_t        tried;
    ngx_mqtt_user_t   *user;

    if (ngx_array_init(&tried, cf->temp_pool, 4, sizeof(ngx_str_t *))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < pcf->nusers; i++) {
        user = &pcf->users[i];

#if (NGX_THREADS)

        if (pcf->thread_pool == NULL && ngx_mqtt_check_slow(&user->hash)) {
            pcf->thread_pool = ngx_thread_pool_add(cf, NULL);
            if (pcf->thread_pool == NULL) {
                return NGX_ERROR;
            }
        }

#endif

        if (ngx_mqtt_password_chars(&user->hash)
            && ngx_mqtt_password_tried(&tried, &user->hash))
        {
            continue;
        }

        if (ngx_mqtt_check_supported(cf->temp_pool, &user->hash) != NGX_OK) {
            return ngx_mqtt_auth_file_error(cf, &pcf->file, user->line,
                                            "unknown or broken hash");
        }

        hash = ngx_array_push(&tried);
        if (hash == NULL) {
            return NGX_ERROR;
        }

        *hash = &user->hash;
    }

    return NGX_OK;
}


/* what crypt() makes: a character outside is worth a try of its own */

static ngx_uint_t
ngx_mqtt_password_chars(ngx_str_t *hash)
{
    u_char  *p, *last;

    last = hash->data + hash->len;

    for (p = hash->data; p < last; p++) {

        if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z')
            || (*p >= '.' && *p <= '9') || *p == '$' || *p == '='
            || *p == ',')
        {
            continue;
        }

        return 0;
    }

    return 1;
}


static ngx_uint_t
ngx_mqtt_password_tried(ngx_array_t *tried, ngx_str_t *hash)
{
    ngx_str_t   **h;
    ngx_uint_t    i;

    h = tried->elts;

    for (i = 0; i < tried->nelts; i++) {

        if (ngx_mqtt_password_same_scheme(h[i], hash)) {
            return 1;
        }
    }

    return 0;
}


/* "$2y$10$" and the like up to the salt, and the same length */

static ngx_uint_t
ngx_mqtt_password_same_scheme(ngx_str_t *a, ngx_str_t *b)
{
    size_t      i;
    ngx_uint_t  dollars;

    if (a->len != b->len) {
        return 0;
    }

    if (a->data[0] != '$') {
        return b->data[0] != '$';
    }

    for (i = 0, dollars = 0; i < a->len && dollars < 3; i++) {

        if (a->data[i] != b->data[i]) {
            return 0;
        }

        if (a->data[i] == '$') {
            dollars++;
        }
    }

    return 1;
}
