package MqttTest::Redis;

# Copyright (C) ngx_mqtt_module authors

# A Redis server of the test's own and a client for it.
#
#     $r = MqttTest::Redis->new(dir => $dir, args => [ '--requirepass', 'x' ]);
#     $r->port; $r->address; $r->pid
#                                     the address is followed by "parameters"
#                                     of new(), for the directive
#     $r->command('HGETALL', 'key')   reply: scalar, undef for nil, array ref;
#                                     dies on an error reply
#     $r->keys('prefix*')             sorted
#     $r->info('clients')             hash
#     $r->wait_replicas($n)           until so many follow: those that are
#                                     "online" may begin a second later
#     $r->pause; $r->resume           SIGSTOP, SIGCONT
#     $r->kill; $r->stop; $r->start   the data are gone afterwards
#
# With TEST_REDIS_CLUSTER=1 a MqttTest::RedisCluster takes its place.

use warnings;
use strict;

use IO::Socket::INET;

use MqttTest::Util qw/ wait_for free_port slurp slow suspend /;


sub new {
    my ($class, %args) = @_;

    if ($ENV{TEST_REDIS_CLUSTER}) {
        require MqttTest::RedisCluster;
        return MqttTest::RedisCluster->new(%args);
    }

    return $class->new_single(%args);
}


sub new_single {
    my ($class, %args) = @_;

    my $self = bless {
        port     => free_port(),
        args     => [],
        password => undef,
        %args,
    }, $class;

    return $self->start;
}


sub port    { return $_[0]{port} }
sub pid     { return $_[0]{child}->pid }


sub address {
    my ($self) = @_;

    return join ' ', "127.0.0.1:$self->{port}", $self->{parameters} // ();
}


sub start {
    my ($self) = @_;

    my $log = "$self->{dir}/redis.log";

    $self->{child} = MqttTest::Util->spawn(
        name    => 'redis',
        dir     => $self->{dir},
        log     => $log,
        command => [
            'redis-server', '--port', $self->{port}, '--bind', '127.0.0.1',
            '--save', '', '--appendonly', 'no', '--dir', $self->{dir},
            '--daemonize', 'no', @{ $self->{args} },
        ],
    );

    wait_for {
        !$self->{child}->alive || $self->connected
    } 10;

    die "Redis did not start:\n" . slurp($log) if !$self->connected;

    return $self;
}


sub wait_replicas {
    my ($self, $n) = @_;

    # a write that needs no key, and so no slot of this node

    return wait_for {
        $self->command('FUNCTION', 'FLUSH');
        $self->command('WAIT', $n, 500) >= $n;
    } 20;
}


sub connected {
    my ($self) = @_;

    return eval { $self->command('PING') eq 'PONG' }
           || ($@ && $@ =~ /NOAUTH|NOPERM/);
}


sub stop {
    my ($self) = @_;

    delete $self->{socket};

    return $self->{child}->stop;
}


sub kill {
    my ($self) = @_;

    delete $self->{socket};
    $self->{child}->kill('KILL');

    return $self->{child}->wait(10);
}


sub pause  { return suspend($_[0]{child}->pid) }
sub resume { return $_[0]{child}->kill('CONT') }


###############################################################################
# the client


sub command {
    my ($self, @args) = @_;

    my $s = $self->{socket} //= $self->open_socket;

    my $out = sprintf "*%d\r\n", scalar @args;
    $out .= sprintf("\$%d\r\n%s\r\n", length, $_) for @args;

    my $reply = eval {
        print $s $out or die "Redis: $!\n";
        $self->read_reply($s);
    };

    if ($@) {
        delete $self->{socket};
        die $@;
    }

    die "$$reply\n" if ref $reply eq 'SCALAR';

    return $reply;
}


sub open_socket {
    my ($self) = @_;

    my $s = IO::Socket::INET->new(
        PeerAddr => '127.0.0.1', PeerPort => $self->{port}, Timeout => 5,
    ) or die "Redis: $!\n";

    binmode $s;
    $s->autoflush(1);

    if (defined $self->{password}) {
        print $s "*2\r\n\$4\r\nAUTH\r\n\$" . length($self->{password})
                 . "\r\n$self->{password}\r\n";

        my $reply = $self->read_reply($s);
        die "$$reply\n" if ref $reply;
    }

    return $s;
}


# an error is a reference to a scalar

sub read_reply {
    my ($self, $s) = @_;

    local $/ = "\r\n";

    my $line = <$s> // die "Redis closed the connection\n";
    chomp $line;

    my $kind = substr $line, 0, 1, '';

    return $line if $kind eq '+' || $kind eq ':';
    return \$line if $kind eq '-';
    return if $line == -1;

    if ($kind eq '$') {
        my $data;

        read($s, $data, $line + 2) == $line + 2
            or die "Redis closed the connection\n";

        return substr $data, 0, $line;
    }

    return [ map { scalar $self->read_reply($s) } 1 .. $line ];
}


sub keys {
    my ($self, $pattern) = @_;

    my @keys = sort @{ $self->command('KEYS', $pattern // '*') };

    return @keys;
}


sub info {
    my ($self, $section) = @_;

    return map { /^([^#:]+):(.*)$/ ? ($1 => $2) : () }
           split /\r?\n/, $self->command('INFO', $section // 'all');
}


1;
