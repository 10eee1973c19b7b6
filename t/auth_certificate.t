#!/usr/bin/perl

# Copyright (C) ngx_mqtt_module authors

# Certificates of clients as user names and client ids; ALPN; a certificate
# that changes with a reload; nginx -t.

###############################################################################

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use MqttTest;
use MqttTest::Util qw/ slurp /;
use Test::More;

###############################################################################

plan skip_all => 'no IO::Socket::SSL' if !eval { require IO::Socket::SSL };

my $t = MqttTest->new;
my $dir = $t->certs;

cert('uri', '/CN=device-2', 'subjectAltName=URI:urn:device-2');
cert('mail', '/CN=x', 'subjectAltName=IP:127.0.0.1,email:a@example.org');
cert('nosan', '/CN=first/CN=device-3', '');
cert('nocn', '/O=nobody', '');
cert('long', '/CN=' . 'x' x 64, 'subjectAltName=DNS:' . 'a' x 250 . '.org');
cert('wild', '/CN=\\+', '');

openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
        . " -days 30 -subj /CN=device-1 -keyout stranger.key"
        . " -out stranger.crt");

my %gateways = (
    cn     => 'auth certificate cn; acl %%TESTDIR%%/rules;',
    san    => 'auth certificate san as=username;',
    id     => 'auth certificate cn as=clientid; acl %%TESTDIR%%/rules;',
    sanid  => 'auth certificate san as=clientid; auth anonymous;',
);

$t->write_file('rules', "allow all users/%u/#\n");
$t->write_file_expand('nginx.conf', conf(%gateways));
$t->run;

is(refused('cn', 'client'), 0, 'the common name');
ok(wait_for { slurp("$dir/access.log") =~ /^c device-1$/m },
   'is the user name');
is(refused('cn', 'client', username => 'admin', password => 'x'), 0,
   'in place of another one');
ok(wait_for { 2 == (() = slurp("$dir/access.log") =~ /^c device-1$/mg) },
   'which does not count');

my $c = client('cn', 'client', client_id => 'c', username => 'admin');
is_deeply($c->subscribe('users/device-1/a' => 0, 'users/admin/a' => 0,
                        'users/+/a' => 0)->{codes}, [ 0, 0x87, 0x87 ],
          'nor for the rules');
$c->disconnect;

$c = client('cn', 'wild', client_id => 'c');
is_deeply($c->subscribe('users/+/a' => 0, 'users/#' => 0)->{codes},
          [ 0x87, 0x87 ], 'a name that looks like a wildcard is none');
$c->disconnect;

is(refused('cn', 'nosan'), 0, 'two common names');
ok(wait_for { slurp("$dir/access.log") =~ /^c device-3$/m }, 'the last one');
is(refused('cn', 'nocn'), 0x87, 'no common name');
is(refused('cn', undef), 0x87, 'no certificate');
is(refused('cn', 'stranger'), 0x87, 'one that is not verified');
is(refused('cn', undef, username => 'device-1', password => 'x'), 0x86,
   'the name alone');
is(refused('cn', undef, -port => 'plain'), 0x87, 'no TLS');

is(refused('san', 'uri'), 0, 'the alternative name');
ok(wait_for { slurp("$dir/access.log") =~ /^c urn:device-2$/m }, 'a URI');
is(refused('san', 'client'), 0, 'a DNS name');
ok(wait_for { slurp("$dir/access.log") =~ /^c localhost$/m }, 'the first');
is(refused('san', 'mail'), 0, 'a mail address');
ok(wait_for { slurp("$dir/access.log") =~ /^c a\@example.org$/m },
   'behind an address that is no name');
is(refused('san', 'nosan'), 0x87, 'no alternative name');

is(refused('id', 'client', client_id => 'device-1'), 0, 'the client id');
is(refused('id', 'client', client_id => 'device-2'), 0x87, 'of another');
is(refused('id', 'client', client_id => 'Device-1'), 0x87, 'in other case');
is(refused('id', 'client', client_id => ''), 0x87, 'none');
is(refused('id', 'client', client_id => 'device-2', version => 4), 5,
   '3.1.1: of another');
$c = client('id', 'client', client_id => 'device-1', username => 'admin');
is_deeply($c->subscribe('users/admin/a' => 0)->{codes}, [ 0x87 ],
          'which proves no user name');
$c->disconnect;

is(refused('sanid', 'uri', client_id => 'urn:device-2'), 0,
   'an alternative name');
is(refused('sanid', 'uri', client_id => 'x'), 0x87,
   'who has a certificate is not anonymous');
is(refused('sanid', undef, client_id => 'x'), 0, 'who has none is');
is(refused('sanid', 'stranger', client_id => 'x'), 0,
   'and one that is not verified is none');

###############################################################################
# ALPN is nginx's: ssl_alpn

SKIP: {
    skip 'no ALPN in IO::Socket::SSL', 3
        if !IO::Socket::SSL->can_alpn;

    for my $case ([ [ 'mqtt' ], 'mqtt' ], [ [ 'h2', 'mqtt' ], 'mqtt' ]) {
        my $s = client('san', 'uri', client_id => 'alpn',
                       -alpn => $case->[0]);

        is($s->socket->alpn_selected, $case->[1], "ALPN: @{ $case->[0] }");
        $s->disconnect;
    }

    ok(!eval { client('san', 'uri', client_id => 'x', -alpn => [ 'h2' ]) },
       'another protocol is refused');
}

###############################################################################
# another certificate of the server by a reload

my $serial = serial();
cert('server', '/CN=localhost', 'subjectAltName=DNS:localhost,IP:127.0.0.1');
ok($t->reload, 'reload');
ok(wait_for { serial() ne $serial }, 'another certificate');

###############################################################################
# nginx -t

for my $case (
    [ '', 'takes "cn" or "san", and "as="' ],
    [ 'dn', 'takes "cn" or "san", and "as="' ],
    [ 'cn as=username x', 'takes "cn" or "san", and "as="' ],
    [ 'cn as=x', 'invalid parameter "as=x"' ],
) {
    my ($args, $message) = @$case;

    my ($output) = $t->nginx_t(conf(cn => "auth certificate $args;"));
    like($output, qr/\[emerg\] .*\Q$message\E.* in \S+:\d+$/m,
         "refused: $args");
}

done_testing();

###############################################################################

sub client {
    my ($port, $cert, %args) = @_;

    my $alpn = delete $args{-alpn};
    my $plain = delete $args{-port};
    my %ssl = (SSL_alpn_protocols => $alpn) x !!$alpn;

    %ssl = (%ssl, SSL_cert_file => "$dir/$cert.crt",
            SSL_key_file => "$dir/$cert.key", SSL_use_cert => 1) if $cert;

    my $c = $t->socket(port => $plain // $port,
                       version => delete $args{version} // 5,
                       $plain ? () : (ssl => \%ssl));

    $c->connect(%args);

    return $c;
}


sub refused {
    my ($port, $cert, %args) = @_;

    my $c = client($port, $cert, client_id => 'c', %args);
    my $connack = $c->connack;

    $c->close;

    return $connack ? $connack->{reason} : 'closed';
}


sub serial {
    my $c = client('san', 'uri', client_id => 'serial');
    my $serial = $c->socket->get_fingerprint;

    $c->close;

    return $serial;
}


sub openssl {
    my ($args) = @_;

    system("cd $dir && openssl $args >> openssl.log 2>&1") == 0
        or die slurp("$dir/openssl.log");
}


sub cert {
    my ($name, $subject, $ext) = @_;

    $t->write_file("$name.ext", "$ext\n");

    openssl("req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
            . " -subj '$subject' -keyout $name.key -out $name.csr");
    openssl("x509 -req -days 30 -in $name.csr -CA ca.crt -CAkey ca.key"
            . " -CAcreateserial -extfile $name.ext -out $name.crt");
}


sub conf {
    my (%gateways) = @_;

    my $text = join '', map { <<"END" } sort keys %gateways;
    mqtt_gateway $_ {
        zone 4m;
        redis %%REDIS%% prefix=$_:;
        $gateways{$_}
    }
    server { listen 127.0.0.1:%%PORT_$_%% ssl; mqtt_pass $_; }
END

    return <<"END";
%%GLOBALS%%
worker_processes 1;
events { }
stream {
ssl_certificate %%TESTDIR%%/server.crt;
ssl_certificate_key %%TESTDIR%%/server.key;
ssl_client_certificate %%TESTDIR%%/ca.crt;
ssl_verify_client optional_no_ca;
ssl_alpn mqtt;
log_format who '\$mqtt_client_id \$mqtt_username';
access_log %%TESTDIR%%/access.log who;
$text
server { listen 127.0.0.1:%%PORT_plain%%; mqtt_pass cn; }
}
http {
    %%HTTP_GLOBALS%%
    server {
        listen 127.0.0.1:%%PORT_http%%;
        location /mqtt { mqtt_status; }
    }
}
END
}

###############################################################################
