package MqttTest::Auth;

# Copyright (C) ngx_mqtt_module authors

# Credentials of the contract.
#
#     sign($secret, $text)         Base64(HMAC-SHA1), padded
#     signature($id, $key, $secret, $instance)
#     device($id, $key, $secret, $instance)
#                                  arguments of a CONNECT
#     reason($t, $port, %connect)  the reason code of CONNACK, or 'closed'

use warnings;
use strict;

use Exporter qw/ import /;

use Digest::SHA qw/ hmac_sha1 /;
use MIME::Base64 qw/ encode_base64 /;

our @EXPORT_OK = qw/ sign signature device reason /;


sub sign {
    my ($secret, $text) = @_;

    return encode_base64(hmac_sha1($text, $secret), '');
}


sub credentials {
    my ($mode, $id, $key, $secret, $instance) = @_;

    return (client_id => $id, username => "$mode|$key|$instance",
            password => sign($secret, $id));
}


sub signature { return credentials('Signature', @_) }
sub device    { return credentials('DeviceCredential', @_) }


sub reason {
    my ($t, $port, %args) = @_;

    my $c = $t->socket(port => $port, version => delete $args{version} // 5);
    my $connack = $c->connect(%args);

    $c->close;

    return $connack ? $connack->{reason} : 'closed';
}


1;
