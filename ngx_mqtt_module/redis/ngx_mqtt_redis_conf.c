
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The directive of the Redis engine:
 *
 *     redis address ... [cluster]
 *           [user=name] [password=secret | password_file=file] [db=n]
 *           [ssl] [ssl_verify=on|off] [ssl_trusted_certificate=file]
 *           [ssl_name=name] [ssl_certificate=file ssl_certificate_key=file]
 *           [timeout=time] [connect_timeout=time] [prefix=text] [queue=n]
 *           [wait=n];
 *
 * (1) Addresses are resolved here, in the master; a worker never asks DNS.
 *     Several of one name are tried in turn until one is that of a primary;
 *     several in the directive, or "cluster", are nodes of Redis Cluster.
 * (2) No error message repeats the value of a parameter that may be secret,
 *     a misspelled one included.
 *
 * Called from: stream/, while the configuration is read.
 */


#include "ngx_mqtt_redis_core.h"


#define NGX_MQTT_REDIS_SECRET_MAX    1024
#define NGX_MQTT_REDIS_VERIFY_DEPTH  3


/* the parameters as they stand in the configuration */

typedef struct {
    ngx_uint_t   ssl;
    ngx_uint_t   cluster;
    ngx_uint_t   naddrs;                       /* in front of parameters */
    ngx_str_t    user;
    ngx_str_t    password;
    ngx_str_t    password_file;
    ngx_str_t    db;
    ngx_str_t    ssl_verify;
    ngx_str_t    ssl_name;
    ngx_str_t    ssl_trusted_certificate;
    ngx_str_t    ssl_certificate;
    ngx_str_t    ssl_certificate_key;
    ngx_str_t    timeout;
    ngx_str_t    connect_timeout;
    ngx_str_t    prefix;
    ngx_str_t    queue;
    ngx_str_t    wait;
} ngx_mqtt_redis_args_t;


typedef struct {
    ngx_str_t    name;
    size_t       offset;
} ngx_mqtt_redis_param_t;


static ngx_uint_t ngx_mqtt_redis_conf_is_address(ngx_str_t *value);
static ngx_int_t ngx_mqtt_redis_conf_addresses(ngx_conf_t *cf,
    ngx_mqtt_redis_conf_t *conf, ngx_uint_t n, ngx_str_t *host);
static ngx_int_t ngx_mqtt_redis_conf_address(ngx_conf_t *cf,
    ngx_mqtt_redis_conf_t *conf, ngx_str_t *address, ngx_str_t *host);
static ngx_int_t ngx_mqtt_redis_conf_param(ngx_conf_t *cf,
    ngx_mqtt_redis_args_t *args, ngx_str_t *value);
static ngx_int_t ngx_mqtt_redis_conf_login(ngx_conf_t *cf,
    ngx_mqtt_redis_conf_t *conf, ngx_mqtt_redis_args_t *args);
static ngx_int_t ngx_mqtt_redis_conf_password_file(ngx_conf_t *cf,
    ngx_mqtt_redis_conf_t *conf, ngx_str_t *file);
static ngx_int_t ngx_mqtt_redis_conf_client_name(ngx_conf_t *cf,
    ngx_mqtt_redis_conf_t *conf, ngx_str_t *gateway);
static ngx_int_t ngx_mqtt_redis_conf_limits(ngx_conf_t *cf,
    ngx_mqtt_redis_conf_t *conf, ngx_mqtt_redis_args_t *args);
static ngx_int_t ngx_mqtt_redis_conf_time(ngx_conf_t *cf, char *name,
    ngx_str_t *value, ngx_msec_t *msec);
static ngx_int_t ngx_mqtt_redis_conf_prefix(ngx_conf_t *cf,
    ngx_mqtt_gateway_t *gw, ngx_str_t *prefix);
static ngx_int_t ngx_mqtt_redis_conf_ssl(ngx_conf_t *cf,
    ngx_mqtt_redis_conf_t *conf, ngx_mqtt_redis_args_t *args,
    ngx_str_t *host);
#if (NGX_SSL)
static ngx_int_t ngx_mqtt_redis_conf_ssl_create(ngx_conf_t *cf,
    ngx_mqtt_redis_conf_t *conf, ngx_mqtt_redis_args_t *args);
static ngx_int_t ngx_mqtt_redis_conf_ssl_verify(ngx_conf_t *cf,
    ngx_mqtt_redis_conf_t *conf, ngx_mqtt_redis_args_t *args,
    ngx_str_t *host);
#endif


#define ngx_mqtt_redis_param(name)                                            \
    { ngx_string(#name "="), offsetof(ngx_mqtt_redis_args_t, name) }

static ngx_mqtt_redis_param_t  ngx_mqtt_redis_params[] = {
    ngx_mqtt_redis_param(user),
    ngx_mqtt_redis_param(password),
    ngx_mqtt_redis_param(password_file),
    ngx_mqtt_redis_param(db),
    ngx_mqtt_redis_param(ssl_verify),
    ngx_mqtt_redis_param(ssl_name),
    ngx_mqtt_redis_param(ssl_trusted_certificate),
    ngx_mqtt_redis_param(ssl_certificate),
    ngx_mqtt_redis_param(ssl_certificate_key),
    ngx_mqtt_redis_param(timeout),
    ngx_mqtt_redis_param(connect_timeout),
    ngx_mqtt_redis_param(prefix),
    ngx_mqtt_redis_param(queue),
    ngx_mqtt_redis_param(wait),
    { ngx_null_string, 0 }
};


char *
ngx_mqtt_redis_directive(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw)
{
    ngx_str_t              *value, host;
    ngx_uint_t              i;
    ngx_mqtt_redis_args_t   args;
    ngx_mqtt_redis_conf_t  *conf;

    if (gw->redis) {
        return "is duplicate";
    }

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_mqtt_redis_conf_t));
    if (conf == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    ngx_memzero(&args, sizeof(ngx_mqtt_redis_args_t));

    i = 2;

    while (i < cf->args->nelts && ngx_mqtt_redis_conf_is_address(&value[i])) {
        i++;
    }

    conf->cluster = (i > 2);

    for (args.naddrs = i - 1; i < cf->args->nelts; i++) {
        if (ngx_mqtt_redis_conf_param(cf, &args, &value[i]) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }

    conf->cluster |= args.cluster;

    if (ngx_mqtt_redis_conf_addresses(cf, conf, args.naddrs, &host) != NGX_OK
        || ngx_mqtt_redis_conf_login(cf, conf, &args) != NGX_OK
        || ngx_mqtt_redis_conf_client_name(cf, conf, &gw->name) != NGX_OK
        || ngx_mqtt_redis_conf_limits(cf, conf, &args) != NGX_OK
        || ngx_mqtt_redis_conf_prefix(cf, gw, &args.prefix) != NGX_OK
        || ngx_mqtt_redis_conf_ssl(cf, conf, &args, &host) != NGX_OK
        || ngx_mqtt_redis_script_init(cf, conf) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    gw->redis = conf;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_mqtt_redis_conf_param(ngx_conf_t *cf, ngx_mqtt_redis_args_t *args,
    ngx_str_t *value)
{
    u_char                  *p;
    size_t                   len;
    ngx_str_t               *arg;
    ngx_mqtt_redis_param_t  *param;

    if (ngx_strcmp(value->data, "ssl") == 0) {
        args->ssl = 1;
        return NGX_OK;
    }

    if (ngx_strcmp(value->data, "cluster") == 0) {
        args->cluster = 1;
        return NGX_OK;
    }

    for (param = ngx_mqtt_redis_params; param->name.len; param++) {

        if (ngx_strncmp(value->data, param->name.data, param->name.len) != 0) {
            continue;
        }

        arg = (ngx_str_t *) ((u_char *) args + param->offset);
        len = param->name.len - 1;

        if (arg->data) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate parameter \"%*s\"",
                               len, param->name.data);
            return NGX_ERROR;
        }

        arg->data = value->data + param->name.len;
        arg->len = value->len - param->name.len;

        if (arg->len == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "empty parameter \"%*s\"",
                               len, param->name.data);
            return NGX_ERROR;
        }

        return NGX_OK;
    }

    p = (u_char *) ngx_strchr(value->data, '=');

    if (p == NULL && ngx_mqtt_redis_conf_is_address(value)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "an address of Redis stands behind a parameter");
        return NGX_ERROR;
    }

    /* the value of a misspelled parameter may be the password */

    len = p ? (size_t) (p - value->data) : value->len;

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%*s\"",
                       len, value->data);

    return NGX_ERROR;
}


/* one without a port and a dot has to stand first */

static ngx_uint_t
ngx_mqtt_redis_conf_is_address(ngx_str_t *value)
{
    return ngx_strchr(value->data, '=') == NULL
           && (ngx_strchr(value->data, ':') || ngx_strchr(value->data, '.'));
}


static ngx_int_t
ngx_mqtt_redis_conf_addresses(ngx_conf_t *cf, ngx_mqtt_redis_conf_t *conf,
    ngx_uint_t n, ngx_str_t *host)
{
    ngx_str_t   *value, other;
    ngx_uint_t   i;

    value = cf->args->elts;

    for (i = 1; i <= n; i++) {
        if (ngx_mqtt_redis_conf_address(cf, conf, &value[i],
                                        i == 1 ? host : &other)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (conf->cluster
            && ngx_strncmp(value[i].data, "unix:", sizeof("unix:") - 1) == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "address \"%V\" of Redis Cluster is a UNIX "
                               "domain socket", &value[i]);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_redis_conf_address(ngx_conf_t *cf, ngx_mqtt_redis_conf_t *conf,
    ngx_str_t *address, ngx_str_t *host)
{
    ngx_url_t    u;
    ngx_addr_t  *addrs;

    /* such a URL may carry a password */

    if (ngx_strstr(address->data, "://") || ngx_strchr(address->data, '@')) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the address of Redis must be \"host:port\" or "
                           "\"unix:path\", not a URL");
        return NGX_ERROR;
    }

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *address;
    u.default_port = NGX_MQTT_REDIS_PORT;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "%s in address \"%V\" of Redis",
                           u.err ? u.err : "error", &u.url);
        return NGX_ERROR;
    }

    addrs = ngx_palloc(cf->pool,
                       (conf->naddrs + u.naddrs) * sizeof(ngx_addr_t));
    if (addrs == NULL) {
        return NGX_ERROR;
    }

    if (conf->naddrs) {
        ngx_memcpy(addrs, conf->addrs, conf->naddrs * sizeof(ngx_addr_t));
    }

    ngx_memcpy(addrs + conf->naddrs, u.addrs, u.naddrs * sizeof(ngx_addr_t));

    conf->addrs = addrs;
    conf->naddrs += u.naddrs;

    *host = u.host;

    if (u.family == AF_UNIX) {
        host->len = 0;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_redis_conf_login(ngx_conf_t *cf, ngx_mqtt_redis_conf_t *conf,
    ngx_mqtt_redis_args_t *args)
{
    conf->user = args->user;
    conf->password = args->password;

    if (args->password.len && args->password_file.len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"password\" and \"password_file\" exclude "
                           "each other");
        return NGX_ERROR;
    }

    if (args->password_file.len
        && ngx_mqtt_redis_conf_password_file(cf, conf, &args->password_file)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (conf->user.len && conf->password.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "no \"password\" or \"password_file\" for "
                           "\"user\"");
        return NGX_ERROR;
    }

    if (args->db.len == 0) {
        return NGX_OK;
    }

    if (conf->cluster) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"db\" with Redis Cluster, which has one "
                           "database only");
        return NGX_ERROR;
    }

    if (ngx_atoi(args->db.data, args->db.len) == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" of \"db\"", &args->db);
        return NGX_ERROR;
    }

    conf->db = args->db;

    return NGX_OK;
}


/* the secret is the first line of the file */

static ngx_int_t
ngx_mqtt_redis_conf_password_file(ngx_conf_t *cf, ngx_mqtt_redis_conf_t *conf,
    ngx_str_t *file)
{
    u_char   *p, *last;
    ssize_t   n;
    ngx_fd_t  fd;

    if (ngx_conf_full_name(cf->cycle, file, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    p = ngx_pnalloc(cf->pool, NGX_MQTT_REDIS_SECRET_MAX);
    if (p == NULL) {
        return NGX_ERROR;
    }

    fd = ngx_open_file(file->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed", file);
        return NGX_ERROR;
    }

    n = ngx_read_fd(fd, p, NGX_MQTT_REDIS_SECRET_MAX);

    if (n == -1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_read_fd_n " \"%V\" failed", file);
    }

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", file);
    }

    if (n == -1) {
        return NGX_ERROR;
    }

    last = ngx_strlchr(p, p + n, LF);

    if (last == NULL) {

        if (n == NGX_MQTT_REDIS_SECRET_MAX) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "the first line of \"%V\" is too long", file);
            return NGX_ERROR;
        }

        last = p + n;
    }

    if (last > p && last[-1] == CR) {
        last--;
    }

    if (last == p) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the first line of \"%V\" is empty", file);
        return NGX_ERROR;
    }

    conf->password.data = p;
    conf->password.len = last - p;

    return NGX_OK;
}


/* what CLIENT LIST shows; Redis accepts no blanks in it */

static ngx_int_t
ngx_mqtt_redis_conf_client_name(ngx_conf_t *cf, ngx_mqtt_redis_conf_t *conf,
    ngx_str_t *gateway)
{
    u_char     *p;
    ngx_str_t  *name;

    name = &conf->client_name;

    name->len = sizeof("nginx-mqtt:") - 1 + gateway->len;
    name->data = ngx_pnalloc(cf->pool, name->len);
    if (name->data == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(name->data, "nginx-mqtt:%V", gateway);

    for (p = name->data; p < name->data + name->len; p++) {
        if (*p <= ' ' || *p >= 0x7f) {
            *p = '_';
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_redis_conf_limits(ngx_conf_t *cf, ngx_mqtt_redis_conf_t *conf,
    ngx_mqtt_redis_args_t *args)
{
    ngx_int_t  n;

    conf->timeout = 5000;
    conf->connect_timeout = 2000;
    conf->queue = 100000;

    if (ngx_mqtt_redis_conf_time(cf, "timeout", &args->timeout, &conf->timeout)
        != NGX_OK
        || ngx_mqtt_redis_conf_time(cf, "connect_timeout",
                                    &args->connect_timeout,
                                    &conf->connect_timeout)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (args->wait.len) {
        n = ngx_atoi(args->wait.data, args->wait.len);

        if (n == NGX_ERROR) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid value \"%V\" of \"wait\"",
                               &args->wait);
            return NGX_ERROR;
        }

        conf->wait = n;
    }

    if (args->queue.len == 0) {
        return NGX_OK;
    }

    n = ngx_atoi(args->queue.data, args->queue.len);

    if (n == NGX_ERROR || n == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" of \"queue\"", &args->queue);
        return NGX_ERROR;
    }

    conf->queue = n;

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_redis_conf_time(ngx_conf_t *cf, char *name, ngx_str_t *value,
    ngx_msec_t *msec)
{
    ngx_int_t  n;

    if (value->len == 0) {
        return NGX_OK;
    }

    n = ngx_parse_time(value, 0);

    if (n == NGX_ERROR || n == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" of \"%s\"", value, name);
        return NGX_ERROR;
    }

    *msec = n;

    return NGX_OK;
}


/* braces would make a hash tag of their own, in front of ours */

static ngx_int_t
ngx_mqtt_redis_conf_prefix(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw,
    ngx_str_t *prefix)
{
    u_char  *p;

    if (prefix->len == 0) {
        prefix->len = gw->name.len + 1;
        prefix->data = ngx_pnalloc(cf->pool, prefix->len);
        if (prefix->data == NULL) {
            return NGX_ERROR;
        }

        ngx_sprintf(prefix->data, "%V:", &gw->name);
    }

    for (p = prefix->data; p < prefix->data + prefix->len; p++) {

        if (*p == '{' || *p == '}') {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "prefix \"%V\" of the keys in Redis contains "
                               "\"%c\"", prefix, *p);
            return NGX_ERROR;
        }
    }

    gw->redis_prefix = *prefix;

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_redis_conf_ssl(ngx_conf_t *cf, ngx_mqtt_redis_conf_t *conf,
    ngx_mqtt_redis_args_t *args, ngx_str_t *host)
{
    if (!args->ssl) {

        if (args->ssl_verify.len || args->ssl_name.len
            || args->ssl_trusted_certificate.len || args->ssl_certificate.len
            || args->ssl_certificate_key.len)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "parameters of \"ssl\" without \"ssl\"");
            return NGX_ERROR;
        }

        return NGX_OK;
    }

#if (NGX_SSL)

    if (ngx_mqtt_redis_conf_ssl_create(cf, conf, args) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_mqtt_redis_conf_ssl_verify(cf, conf, args, host);

#else

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"ssl\" needs an nginx that is built with SSL");

    return NGX_ERROR;

#endif
}


#if (NGX_SSL)

static ngx_int_t
ngx_mqtt_redis_conf_ssl_create(ngx_conf_t *cf, ngx_mqtt_redis_conf_t *conf,
    ngx_mqtt_redis_args_t *args)
{
    ngx_ssl_t           *ssl;
    ngx_pool_cleanup_t  *cln;

    ssl = ngx_pcalloc(cf->pool, sizeof(ngx_ssl_t));
    if (ssl == NULL) {
        return NGX_ERROR;
    }

    ssl->log = cf->log;

    if (ngx_ssl_create(ssl, NGX_SSL_TLSv1_2|NGX_SSL_TLSv1_3, NULL) != NGX_OK) {
        return NGX_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);

    if (cln == NULL) {
        ngx_ssl_cleanup_ctx(ssl);
        return NGX_ERROR;
    }

    cln->handler = ngx_ssl_cleanup_ctx;
    cln->data = ssl;

    conf->ssl = ssl;

    if (args->ssl_certificate.len == 0 && args->ssl_certificate_key.len == 0) {
        return NGX_OK;
    }

    if (args->ssl_certificate.len == 0 || args->ssl_certificate_key.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"ssl_certificate\" and \"ssl_certificate_key\" "
                           "need each other");
        return NGX_ERROR;
    }

    return ngx_ssl_certificate(cf, ssl, &args->ssl_certificate,
                               &args->ssl_certificate_key, NULL);
}


static ngx_int_t
ngx_mqtt_redis_conf_ssl_verify(ngx_conf_t *cf, ngx_mqtt_redis_conf_t *conf,
    ngx_mqtt_redis_args_t *args, ngx_str_t *host)
{
    u_char      *p;
    ngx_str_t   *name;
    ngx_addr_t   addr;

    conf->ssl_verify = 1;

    if (args->ssl_verify.len) {

        if (ngx_strcmp(args->ssl_verify.data, "off") == 0) {
            conf->ssl_verify = 0;

        } else if (ngx_strcmp(args->ssl_verify.data, "on") != 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid value \"%V\" of \"ssl_verify\"",
                               &args->ssl_verify);
            return NGX_ERROR;
        }
    }

    name = args->ssl_name.len ? &args->ssl_name : host;

    if (conf->ssl_verify && name->len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "no \"ssl_name\" for \"ssl_verify\"");
        return NGX_ERROR;
    }

    if (conf->ssl_verify && args->ssl_trusted_certificate.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "no \"ssl_trusted_certificate\" for "
                           "\"ssl_verify\"");
        return NGX_ERROR;
    }

    if (ngx_parse_addr(cf->pool, &addr, name->data, name->len) == NGX_OK) {
        conf->ssl_name_address = 1;
    }

    /* OpenSSL wants a zero at the end, and no brackets of IPv6 */

    if (name->len > 2 && name->data[0] == '[') {
        name->data++;
        name->len -= 2;
        conf->ssl_name_address = 1;
    }

    p = ngx_pnalloc(cf->pool, name->len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    conf->ssl_name.data = p;
    conf->ssl_name.len = name->len;

    p = ngx_cpymem(p, name->data, name->len);
    *p = '\0';

    if (args->ssl_trusted_certificate.len == 0) {
        return NGX_OK;
    }

    return ngx_ssl_trusted_certificate(cf, conf->ssl,
                                       &args->ssl_trusted_certificate,
                                       NGX_MQTT_REDIS_VERIFY_DEPTH);
}

#endif
