
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Files of auth and acl: they are read with the configuration, by the master.
 *
 * Called from: directive handlers.
 */


#include "ngx_mqtt_auth_file.h"


ngx_int_t
ngx_mqtt_auth_file_read(ngx_conf_t *cf, ngx_str_t *name, ngx_str_t *text)
{
    ssize_t          n;
    ngx_int_t        rc;
    ngx_file_t       file;
    ngx_file_info_t  fi;

    if (ngx_conf_full_name(cf->cycle, name, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = NGX_ERROR;

    ngx_memzero(&file, sizeof(ngx_file_t));

    file.name = *name;
    file.log = cf->log;

    file.fd = ngx_open_file(name->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (file.fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed", name);
        return NGX_ERROR;
    }

    if (ngx_fd_info(file.fd, &fi) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_fd_info_n " \"%V\" failed", name);
        goto done;
    }

    if (!ngx_is_file(&fi)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is not a regular file", name);
        goto done;
    }

    text->len = (size_t) ngx_file_size(&fi);

    text->data = ngx_pnalloc(cf->pool, text->len + 1);
    if (text->data == NULL) {
        goto done;
    }

    n = ngx_read_file(&file, text->data, text->len, 0);

    if (n == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_read_file_n " \"%V\" failed", name);
        goto done;
    }

    text->len = n;
    text->data[text->len++] = LF;

    rc = NGX_OK;

done:

    if (ngx_close_file(file.fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", name);
    }

    return rc;
}


ngx_int_t
ngx_mqtt_auth_file_error(ngx_conf_t *cf, ngx_str_t *file, ngx_uint_t line,
    const char *text)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s in \"%V:%ui\"", text, file,
                       line);

    return NGX_ERROR;
}


ngx_uint_t
ngx_mqtt_auth_file_line(ngx_str_t *text, ngx_str_t *line, ngx_uint_t *number)
{
    u_char  *p, *last, *eol;

    while (text->len) {
        p = text->data;
        last = p + text->len;
        eol = ngx_strlchr(p, last, LF);

        text->data = eol + 1;
        text->len = last - text->data;

        (*number)++;

        while (p < eol && (*p == ' ' || *p == '\t')) {
            p++;
        }

        while (p < eol && (eol[-1] == ' ' || eol[-1] == '\t'
                           || eol[-1] == CR))
        {
            eol--;
        }

        if (p == eol || *p == '#') {
            continue;
        }

        line->data = p;
        line->len = eol - p;

        return 1;
    }

    return 0;
}


ngx_uint_t
ngx_mqtt_auth_file_word(ngx_str_t *line, ngx_str_t *word)
{
    u_char  *p, *last;

    p = line->data;
    last = p + line->len;

    word->data = p;

    while (p < last && *p != ' ' && *p != '\t') {
        p++;
    }

    word->len = p - word->data;

    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    line->data = p;
    line->len = last - p;

    return word->len != 0;
}
