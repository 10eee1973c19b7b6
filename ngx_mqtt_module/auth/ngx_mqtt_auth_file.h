
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/* Files of auth and acl, read with the configuration. */


#ifndef _NGX_MQTT_AUTH_FILE_H_INCLUDED_
#define _NGX_MQTT_AUTH_FILE_H_INCLUDED_


#include "ngx_mqtt.h"


/*
 * The text is from cf->pool and ends with a line feed that belongs to it; the
 * name is made a full one.  NGX_ERROR was logged.
 */
ngx_int_t ngx_mqtt_auth_file_read(ngx_conf_t *cf, ngx_str_t *name,
    ngx_str_t *text);

/* logs what is wrong with a line; returns NGX_ERROR always */
ngx_int_t ngx_mqtt_auth_file_error(ngx_conf_t *cf, ngx_str_t *file,
    ngx_uint_t line, const char *text);

/*
 * The next line that is neither empty nor a comment, without the spaces
 * around it, cut off from the text; 0: there is none.  Start with *number 0.
 */
ngx_uint_t ngx_mqtt_auth_file_line(ngx_str_t *text, ngx_str_t *line,
    ngx_uint_t *number);

/* the next word, cut off from a line; 0: there is none */
ngx_uint_t ngx_mqtt_auth_file_word(ngx_str_t *line, ngx_str_t *word);


#endif /* _NGX_MQTT_AUTH_FILE_H_INCLUDED_ */
